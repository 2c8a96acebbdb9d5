# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A finished set-up step leaves deps/stamps/STEP: a key (what was asked for) and the name and size of each
# file it made. The step is done while the key is the same and every file has its size, so that a step that
# was interrupted, changed or damaged is done again, and one that is done costs a few milliseconds.

stamp_valid() { # STEP KEY
	local stamp=$DEPS/stamps/$1
	[ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "key $2" ] || return 1
	tail -n +2 "$stamp" | cut -d' ' -f2- |
		(cd "$DEPS" && xargs -d '\n' stat -c '%s %n' 2>/dev/null) | # no <(...): a bare root may lack /dev/fd
		{ printf 'key %s\n' "$2" && cat; } | cmp -s - "$stamp"
}

# What a step says first; whoever finds it done by halves, or of another version, hears of it.
begin() { # STEP TEXT
	local again=
	[ ! -f "$DEPS/stamps/$1" ] || again='; what deps/ holds of it is incomplete or of another version'
	say "setup: $2$again"
}

stamp_write() { # STEP KEY PATH...   (paths are relative to deps/, folders count with all they hold)
	local step=$1 key=$2
	shift 2
	mkdir -p "$DEPS/stamps"
	{
		printf 'key %s\n' "$key"
		(cd "$DEPS" && find "$@" -type f ! -name '*.pyc' -printf '%s %p\n' | sort -k2)
	} >"$DEPS/stamps/$step.partial"
	mv "$DEPS/stamps/$step.partial" "$DEPS/stamps/$step"
}
