#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make lint: every check runs, each finding is one line FILE:LINE, any finding fails.
# LINT_CHECKS="format arrows" chooses.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"

format() { "$ROOT/scripts/format.sh" --check; }
arrows() { python3 -B "$ROOT/scripts/lint/arrows.py"; }
banned() { python3 -B "$ROOT/scripts/lint/banned.py"; }
sizes() { python3 -B "$ROOT/scripts/lint/sizes.py"; }
texts() { python3 -B "$ROOT/scripts/lint/texts.py"; }

scripts() {
	find scripts .ci -type f \( -name '*.sh' -o -path .ci/run \) -print0 |
		xargs -0 shellcheck --external-sources --exclude=SC1091
}

# Flow analysis of what the compiler does not look at; what it gets wrong is in cppcheck.txt with the reason.
# It does not know __VA_OPT__; with a comma for it, it reads every log_event that has values.
cppcheck_src() {
	mkdir -p build/lint/cppcheck
	cppcheck --quiet --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --std=c11 \
		--suppressions-list=scripts/lint/cppcheck.txt --cppcheck-build-dir=build/lint/cppcheck \
		-j "$(nproc)" -D_GNU_SOURCE '-D__VA_OPT__(...)=,' -I src --template='{file}:{line}: {id}: {message}' src
}

# Nothing is built there, so nothing else would notice files that came, went or moved.
tidy() {
	rm -f build/lint/build.ninja
	configure lint
	python3 -B "$ROOT/scripts/lint/tidy.py"
}

cd "$ROOT"
"$ROOT/scripts/setup.sh" lint
failed=()
for check in ${LINT_CHECKS:-format arrows banned sizes texts scripts cppcheck_src tidy}; do
	if "$check"; then
		say "lint: $check ok"
	else
		failed+=("$check")
	fi
done
[ ${#failed[@]} = 0 ] || die "lint: ${failed[*]} failed; the findings are above"
