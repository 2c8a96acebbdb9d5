#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make run: coordinator and provider on this machine, one request through both, then up until Ctrl-C.
# PORT chooses the port (8080), ONCE=1 stops after the request. What has to survive is in run/.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$ROOT/scripts/lib/build.sh"
. "$ROOT/scripts/setup/pins.sh"
. "$ROOT/scripts/demo/programs.sh"
. "$ROOT/scripts/demo/settings.sh"

port=${PORT:-8080}
once=${ONCE:-0}
question='What is the capital of France? Answer in one sentence.'

if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
	die "PORT=$port is not a port; use a number from 1 to 65535, e.g. 'make run PORT=8081'"
fi
"$ROOT/scripts/setup.sh" run
mkdir -p "$RUN"
chmod 700 "$RUN"
exec 8>"$RUN/.lock"
flock -n 8 || die "another 'make run' of this checkout is up; stop it first (Ctrl-C in its terminal)"
taken=$(python3 "$ROOT/scripts/demo/port_free.py" "$port" 2>&1) ||
	die "$taken; stop that, or choose another port: 'make run PORT=$((port < 65535 ? port + 1 : 8081))'"
build release darkbloom-coordinator darkbloom darkbloom-engine

write_settings "$port"
# The settings are those files: variables of the caller must not change them.
unset "${!DARKBLOOM_@}" "${!EIGENINFERENCE_@}"

trap 'stop_programs' EXIT
trap 'say; exit 130' INT
trap 'exit 143' TERM HUP

say "run: starting coordinator and provider on port $port"
start coordinator "$BIN/darkbloom-coordinator" --config "$RUN/coordinator.toml"
start provider "$BIN/darkbloom" serve --config "$RUN/provider.toml"
wait_until "the coordinator answers" 30 answers "$port" /health
ensure_key "$port"
wait_until "the provider is verified and its model is listed" 120 model_listed "$port"

say "
  base URL  $OPENAI_BASE_URL
  API key   $OPENAI_API_KEY
  try it    $(curl_line "$question")
  or        . run/env   (for an OpenAI SDK; model $DARKBLOOM_MODEL)
"
aside python3 "$ROOT/scripts/demo/request.py" "$question" || exit 1

[ "$once" = 1 ] && exit 0
say "
Up; Ctrl-C stops everything. Logs: run/coordinator.log, run/provider.log"
watch_programs
