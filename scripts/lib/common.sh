# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What every script here shares: where the repository is, how to speak, how to fail. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT
readonly DEPS=$ROOT/deps
readonly SETUP_LOG=$DEPS/setup.log

say() {
	printf '%s\n' "$*"
}

# One sentence on what failed and what to do, then the end.
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Runs a command with everything it prints kept in deps/setup.log.
logged() {
	printf '\n--- %s: %s\n' "$(date +%T)" "$*" >>"$SETUP_LOG"
	"$@" >>"$SETUP_LOG" 2>&1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# Scripts name files of the repository relative to its root, in messages too.
relative() {
	printf '%s' "${1#"$ROOT"/}"
}
