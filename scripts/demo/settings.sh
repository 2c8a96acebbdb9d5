# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The demo's settings, written into run/ at each start, and its API key, which is kept there.

readonly RUN=$ROOT/run
readonly BIN=$ROOT/build/release
readonly MODEL_ID=smollm2-135m-instruct
readonly MODEL_PATH=$DEPS/model/$MODEL_FILE

write_settings() { # PORT
	cat >"$RUN/coordinator.toml" <<-END
		# Written by make run at each start.
		[server]
		host = "127.0.0.1"
		port = $1

		[store]
		path = "$RUN/darkbloom.db"

		[routing]
		min_trust = "self_signed" # the demo's provider has a software key

		[limits]
		rate_per_s = 0 # no limit

		[[model]]
		id = "$MODEL_ID"
		input_price_micro_usd = 50000 # a million tokens
		output_price_micro_usd = 200000
	END
	cat >"$RUN/provider.toml" <<-END
		# Written by make run at each start.
		[coordinator]
		url = "ws://127.0.0.1:$1/ws/provider"

		[model]
		path = "$MODEL_PATH"
		id = "$MODEL_ID"

		[identity]
		key_path = "$RUN/provider-key.pem"
	END
}

# Keeps the key of the last run while the coordinator knows it; otherwise makes an account with credit.
ensure_key() { # PORT
	local key=
	if [ -f "$RUN/env" ]; then
		key=$(. "$RUN/env" && printf '%s' "${OPENAI_API_KEY:-}")
	fi
	export OPENAI_BASE_URL=http://127.0.0.1:$1/v1 OPENAI_API_KEY=$key DARKBLOOM_MODEL=$MODEL_ID
	if [ -z "$key" ] || ! answers "$1" /v1/models >/dev/null; then
		OPENAI_API_KEY=$("$BIN/darkbloom-coordinator" --config "$RUN/coordinator.toml" key create demo \
			--credit 5 2>>"$RUN/coordinator.log" | tail -n 1)
		[ -n "$OPENAI_API_KEY" ] || die "could not make an API key; see run/coordinator.log"
	fi
	(umask 077 && cat >"$RUN/env.partial" <<-END)
		export OPENAI_BASE_URL=$OPENAI_BASE_URL
		export OPENAI_API_KEY=$OPENAI_API_KEY
		export DARKBLOOM_MODEL=$DARKBLOOM_MODEL
	END
	mv "$RUN/env.partial" "$RUN/env"
}

curl_line() { # QUESTION
	printf '%s' "curl -sN $OPENAI_BASE_URL/chat/completions -H 'Authorization: Bearer $OPENAI_API_KEY'" \
		" -H 'Content-Type: application/json' -d '{\"model\":\"$DARKBLOOM_MODEL\",\"stream\":true,\"messages\":" \
		"[{\"role\":\"user\",\"content\":\"$1\"}]}'"
}
