# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Builds a preset of CMakePresets.json into build/PRESET, quietly; the compiler's words go to build/PRESET.log.

configure() { # PRESET
	local dir=$ROOT/build/$1
	mkdir -p "$ROOT/build"
	# A checkout that was moved, or a configure that was interrupted, starts over.
	grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$ROOT" "$dir/CMakeCache.txt" || rm -rf "$dir"
	[ -f "$dir/build.ninja" ] && return
	(cd "$ROOT" && cmake --preset "$1") >"$dir.log" 2>&1 || build_failed "$1" configure
}

build() { # PRESET TARGET...
	local preset=$1
	shift
	[ -f "$ROOT/build/$preset/build.ninja" ] || say "build: compiling into build/$preset (details: build/$preset.log)"
	configure "$preset"
	cmake --build "$ROOT/build/$preset" ${1:+--target "$@"} >"$ROOT/build/$preset.log" 2>&1 ||
		build_failed "$preset" compile
}

build_failed() { # PRESET WHAT
	local log=$ROOT/build/$1.log
	{ grep -m 5 -A 3 -E 'error: |Error at|undefined reference' "$log" || tail -n 15 "$log"; } >&2
	die "could not $2 build/$1; the whole output is in build/$1.log"
}
