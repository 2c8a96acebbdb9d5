# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Downloads through a registry's own client, into a folder beside the target, and under the final name only
# once the checksum is right: a file under its final name is complete.

readonly DOWNLOADS=$DEPS/downloads

# SUM is sha256:HEX, or npm's own form sha512-BASE64.
checksum_matches() { # FILE SUM
	local want
	case $2 in
	sha256:*) [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "${2#sha256:}" ] ;;
	sha512-*)
		want=$(base64 -d <<<"${2#sha512-}" | od -An -v -tx1 | tr -d ' \n')
		[ "$(sha512sum <"$1" | cut -d' ' -f1)" = "$want" ]
		;;
	*) die "checksum '$2' has an unknown form; correct scripts/setup/pins.sh" ;;
	esac
}

# COMMAND runs in an empty folder and leaves FILE there.
download() { # FILE SUM REGISTRY COMMAND...
	local file=$1 sum=$2 registry=$3 partial=$DOWNLOADS/partial-$1
	shift 3
	mkdir -p "$DOWNLOADS"
	if [ -f "$DOWNLOADS/$file" ]; then
		checksum_matches "$DOWNLOADS/$file" "$sum" && return
		say "setup: deps/downloads/$file is damaged; fetching it again"
		rm -f "$DOWNLOADS/$file"
	fi
	if [ -e "$partial" ]; then
		say "setup: the last download of $file did not finish; starting it again"
		rm -rf "$partial"
	fi
	mkdir "$partial"
	if ! (cd "$partial" && logged "$@") || [ ! -f "$partial/$file" ]; then
		rm -rf "$partial"
		die "could not download $file from $registry; check the network and run the command again" \
			"(details: deps/setup.log)"
	fi
	if ! checksum_matches "$partial/$file" "$sum"; then
		rm -rf "$partial"
		die "$file from $registry is not the pinned file (wrong checksum); run the command again," \
			"and if it stays so do not use it"
	fi
	mv "$partial/$file" "$DOWNLOADS/$file"
	rm -rf "$partial"
}

download_npm() { # SPEC FILE SUM
	download "$2" "$3" npm npm pack --silent --cache .cache "$1"
}

download_pypi() { # REQUIREMENT FILE SUM
	download "$2" "$3" PyPI python3 -m pip download --no-deps --no-cache-dir --only-binary :all: "$1"
}
