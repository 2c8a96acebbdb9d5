# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Starts the demo's programs, waits for them, notices when one dies, and stops them all.

declare -A PIDS=()
ASIDE=

# A session of its own keeps the terminal's Ctrl-C from the program: stop_programs ends it in order. Should
# this script be killed outright, the kernel ends the program with it.
start() { # NAME COMMAND...
	local name=$1
	shift
	setsid setpriv --pdeathsig TERM -- "$@" >"$RUN/$name.log" 2>&1 8>&- &
	PIDS[$name]=$!
	disown # bash then keeps its own remarks on how it ended to itself
}

# A command that a signal to this script interrupts: bash runs traps between commands, but during a wait.
aside() { # COMMAND...
	local status=0
	"$@" 8>&- &
	ASIDE=$!
	wait "$ASIDE" || status=$?
	ASIDE=
	return "$status"
}

check_alive() {
	local name
	for name in "${!PIDS[@]}"; do
		kill -0 "${PIDS[$name]}" 2>/dev/null && continue
		unset "PIDS[$name]"
		printf '%s\n' "The last lines of run/$name.log:" >&2
		tail -n 12 "$RUN/$name.log" | sed 's/^/  /' >&2
		die "the $name has stopped; the reason should be in the lines above"
	done
}

# Asks every 100 ms; the commands asked with are silent while the answer is no.
wait_until() { # WHAT SECONDS COMMAND...
	local what=$1 left=$(($2 * 10)) seconds=$2
	shift 2
	until "$@" >/dev/null; do
		check_alive
		left=$((left - 1))
		[ "$left" -gt 0 ] ||
			die "gave up after $seconds s of waiting until $what; see run/coordinator.log and run/provider.log"
		sleep 0.1
	done
}

# The key is passed through a pipe: a command line is visible to everybody on the machine.
answers() { # PORT PATH
	printf 'Authorization: Bearer %s' "${OPENAI_API_KEY:-}" |
		curl -fsS --noproxy '*' --max-time 5 -H @- "http://127.0.0.1:$1$2" 2>/dev/null
}

model_listed() { # PORT
	[[ $(answers "$1" /v1/models) == *"\"$DARKBLOOM_MODEL\""* ]]
}

# Returns only by die, or by the caller's traps; also stops when make, which started us, is gone.
watch_programs() {
	local parent=$PPID now
	while :; do
		check_alive
		now=$(cut -d' ' -f4 "/proc/$$/stat" 2>/dev/null || printf '%s' "$parent")
		[ "$now" = "$parent" ] || exit 143
		aside sleep 1
	done
}

# SIGTERM, and SIGKILL for what is still there after eight seconds: running answers have five.
stop_programs() {
	local pid tries
	trap '' INT TERM HUP
	[ -z "$ASIDE" ] || kill -TERM "$ASIDE" 2>/dev/null || true
	[ ${#PIDS[@]} -gt 0 ] || return 0
	kill -TERM "${PIDS[@]}" 2>/dev/null || true
	for ((tries = 0; tries < 80; tries++)); do
		kill -0 "${PIDS[@]}" 2>/dev/null || break
		sleep 0.1
	done
	for pid in "${PIDS[@]}"; do
		while kill -KILL "$pid" 2>/dev/null; do
			sleep 0.1
		done
	done
}
