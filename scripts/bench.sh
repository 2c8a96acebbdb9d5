#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make bench: the release build's figures beside their budgets; BENCH_ARGS chooses sections (latency requests relay loops
# instructions fleet store engine numerics), e.g. make bench BENCH_ARGS="engine numerics". The section soak runs only
# when it is named, for SOAK_MINUTES (30). PEERS=1 compares with llama-server: it is built first, and without BENCH_ARGS
# the sections are engine and peers, whose options are variables (src/bench/sections.h): PEERS_STREAMS="1 4 8 16", ….
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"
. "$ROOT/scripts/setup/pins.sh"

if [ "${PEERS:-0}" = 1 ]; then
	"$ROOT/scripts/setup.sh" peers
	export PEERS_SERVER=${PEERS_SERVER:-$DEPS/peers/bin/llama-server}
	BENCH_ARGS=${BENCH_ARGS:-engine peers}
else
	"$ROOT/scripts/setup.sh" bench
fi
build release
# Its stores, and so what a flush costs, are on this checkout's file system; /tmp may be memory.
export TMPDIR=$ROOT/build/bench
mkdir -p "$TMPDIR"
say "bench: stores lie on $(stat -f -c %T "$TMPDIR"); $(nproc) cores"
# shellcheck disable=SC2086 # a list of words
exec "$ROOT/build/release/darkbloom-bench" "$ROOT/build/release/darkbloom-coordinator" \
	"$DEPS/model/$MODEL_FILE" ${BENCH_ARGS:-}
