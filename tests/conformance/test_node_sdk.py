# SPDX-License-Identifier: Apache-2.0
"""OpenAI's Node SDK with only base URL and key set."""

import json
import os
import pathlib
import subprocess

from support.programs import MODEL_ID, ROOT


def test_it_answers_streams_and_maps_errors(network):
    coordinator, _, client = network
    done = subprocess.run(["node", str(pathlib.Path(__file__).with_name("node_sdk.mjs"))],
                          capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OPENAI_BASE_URL": coordinator.url + "/v1",
                               "OPENAI_API_KEY": client.key, "DARKBLOOM_MODEL": MODEL_ID,
                               "NODE_PATH": os.environ.get("NODE_PATH", str(ROOT / "deps/node/node_modules"))})
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["whole"] == seen["streamed"] == "The capital of France is Paris."
    assert seen["usage"] == seen["streamUsage"]
    errors = {k: (v["class"], v["status"], v["code"], v["param"]) for k, v in seen["errors"].items()}
    assert errors == {
        "key": ("AuthenticationError", 401, "invalid_api_key", None),
        "model": ("NotFoundError", 404, "model_not_found", "model"),
        "max_tokens": ("BadRequestError", 400, "invalid_value", "max_tokens"),
        "messages": ("BadRequestError", 400, "invalid_value", "messages"),
        "context": ("BadRequestError", 400, "context_length_exceeded", "messages"),
    }
