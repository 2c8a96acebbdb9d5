#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make format: clang-format over src/ and tests/. With --check nothing is changed, a difference fails.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

sources() {
	find src tests \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.hpp' \) -print0
}

cd "$ROOT"
scripts/setup.sh format
if [ "${1:-}" != --check ]; then
	sources | xargs -0 -r clang-format -i
	exit
fi
# shellcheck disable=SC2016 # expanded by the inner shell
sources | xargs -0 -r -n 1 -P "$(nproc)" sh -c \
	'clang-format --dry-run -Werror "$1" 2>/dev/null || { echo "$1: not formatted; run make format"; exit 1; }' sh
