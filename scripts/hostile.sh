#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make hostile: 500 hostile sockets against the release build's coordinator beside one well-behaved stream; about
# 40 s. Fails where its memory grows by more than 256 MiB or the stream's p99 delay by more than 3 times.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"

"$ROOT/scripts/setup.sh" hostile
build release darkbloom-coordinator
export DARKBLOOM_BUILD_DIR=$ROOT/build/release PYTHONDONTWRITEBYTECODE=1
exec "$DEPS/venv/bin/python" "$ROOT/tests/e2e/hostile.py"
