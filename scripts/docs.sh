#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make docs: the reference pages, from the tables that the programs work from, into build/docs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"

"$ROOT/scripts/setup.sh" docs
build release darkbloom-docs
"$ROOT/build/release/darkbloom-docs" "$ROOT/build/docs"
say "docs: $(cd "$ROOT/build/docs" && echo *.md) in build/docs"
