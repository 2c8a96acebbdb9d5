#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make fuzz: every fuzz target for FUZZ_SECONDS (600) seconds, as many at a time as there are cores.
# New inputs are kept in build/fuzz/corpus/, the committed seeds in tests/fuzz/corpus/ are only read;
# FUZZ_TARGETS="fuzz_ws fuzz_http" chooses.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"

"$ROOT/scripts/setup.sh" fuzz
targets=("$ROOT"/tests/fuzz/fuzz_*.c)
targets=("${targets[@]##*/}")
targets=("${targets[@]%.c}")
[ -z "${FUZZ_TARGETS:-}" ] || read -ra targets <<<"$FUZZ_TARGETS"
build fuzz "${targets[@]}"

seconds=${FUZZ_SECONDS:-600}
out=$ROOT/build/fuzz
say "fuzz: ${#targets[@]} targets for $seconds s each, $(nproc) at a time (logs: build/fuzz/logs)"

fuzz_one() { # TARGET
	local name=${1#fuzz_} status=ok
	mkdir -p "$out/corpus/$name" "$out/findings" "$out/logs"
	"$out/tests/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$out/findings/$name-" "$out/corpus/$name" "$ROOT/tests/fuzz/corpus/$name" \
		>"$out/logs/$name.log" 2>&1 || status=FAILED
	printf 'fuzz: %-24s %s, %s inputs tried\n' "$1" "$status" \
		"$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/logs/$name.log")"
	[ "$status" = ok ] || { tail -n 25 "$out/logs/$name.log" && return 1; }
}

failed=0
running=0
for target in "${targets[@]}"; do
	if [ "$running" -ge "$(nproc)" ]; then
		wait -n || failed=1
		running=$((running - 1))
	fi
	fuzz_one "$target" &
	running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
	wait -n || failed=1
	running=$((running - 1))
done
[ "$failed" = 0 ] || die "a fuzz target found something; its input is in build/fuzz/findings"
