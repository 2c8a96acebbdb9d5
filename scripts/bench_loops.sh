#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The bench's section `loops`, for a machine with more processors than this one: builds the coordinator and the load
# alone (no inference engine, no model, no Python) into build/bench-loops/ with all libraries that they use, the C
# library too. That folder needs nothing of the machine that it is taken to: `build/bench-loops/run.sh` there.
# `--run` runs it here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"

bundle=$ROOT/build/bench-loops
build release darkbloom-coordinator darkbloom-bench-loops
rm -rf "$bundle"
mkdir -p "$bundle/lib"
for program in darkbloom-coordinator darkbloom-bench-loops; do
	cp "$ROOT/build/release/$program" "$bundle/$program.bin"
	ldd "$bundle/$program.bin" | grep -o '/[^ ]*' | xargs -I{} cp -Lu {} "$bundle/lib/"
	# Through the loader that came along, so that the libraries are those of one machine.
	cat >"$bundle/$program" <<-'END'
		#!/bin/sh
		here=$(dirname "$(readlink -f "$0")")
		exec "$here"/lib/ld-linux-*.so.* --library-path "$here/lib" "$here/$(basename "$0").bin" "$@"
	END
	chmod +x "$bundle/$program"
done
cat >"$bundle/run.sh" <<'END'
#!/bin/sh
# Stores lie here, beside the programs: what a flush costs is this file system's.
cd "$(dirname "$(readlink -f "$0")")" || exit 1
TMPDIR=${TMPDIR:-$PWD}
export TMPDIR
exec ./darkbloom-bench-loops ./darkbloom-coordinator
END
chmod +x "$bundle/run.sh"
say "bench: $(relative "$bundle") is complete ($(du -sh "$bundle" | cut -f1)); take it along and start run.sh"
if [ "${1:-}" = --run ]; then exec "$bundle/run.sh"; fi
