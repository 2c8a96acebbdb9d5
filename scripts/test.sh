#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make test: the tests that share memory between threads under TSan, then all tests under ASan and UBSan.
# Each part ends with ctest's own summary; TEST_ARGS goes to the second ctest, e.g. TEST_ARGS="-R ledger".
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"

"$ROOT/scripts/setup.sh" test
build tsan thread_tests
build asan

# TSan's shadow memory wants an address space that is not laid out at random.
fixed_layout=()
setarch -R true 2>/dev/null && fixed_layout=(setarch -R)

failed=0
say "test: threads, under TSan"
"${fixed_layout[@]}" ctest --test-dir "$ROOT/build/tsan" -L threads --output-on-failure --no-tests=error || failed=1
say "test: everything, under ASan and UBSan"
# shellcheck disable=SC2086 # a list of words
ctest --test-dir "$ROOT/build/asan" -j "$(nproc)" --output-on-failure --no-tests=error ${TEST_ARGS:-} || failed=1
exit "$failed"
