# SPDX-License-Identifier: Apache-2.0
"""OpenAI's Python SDK with only base URL and key set."""

import json

import openai
import pytest
from support.programs import MODEL_ID
from support.scripted import ScriptedProvider

PARIS = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]


def sdk(coordinator, key):
    return openai.OpenAI(base_url=coordinator.url + "/v1", api_key=key, max_retries=0)


def test_it_answers_in_one_piece_and_as_a_stream_with_usage(network):
    coordinator, _, client = network
    api = sdk(coordinator, client.key)
    whole = api.chat.completions.create(model=MODEL_ID, messages=PARIS, temperature=0, max_tokens=24)
    assert whole.choices[0].message.content == "The capital of France is Paris."
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    stream = api.chat.completions.create(model=MODEL_ID, messages=PARIS, temperature=0, max_tokens=24,
                                         stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == \
        "The capital of France is Paris."
    assert [c.usage for c in chunks if c.usage][0] == whole.usage
    assert [m.id for m in api.models.list()] == [MODEL_ID]


def test_schemas_and_logprobs_come_as_the_sdks_own_objects(network):
    coordinator, _, client = network
    api = sdk(coordinator, client.key)
    of = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"],
          "additionalProperties": False}
    ask = {"model": MODEL_ID, "messages": PARIS, "temperature": 0, "max_tokens": 40, "logprobs": True, "top_logprobs": 2,
           "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": of}}}
    whole = api.chat.completions.create(**ask).choices[0]
    assert json.loads(whole.message.content)["city"] in ("Paris", "Rome")
    assert all(len(e.top_logprobs) == 2 and e.logprob <= 0 for e in whole.logprobs.content)
    chunks = list(api.chat.completions.create(stream=True, **ask))
    streamed = [e for c in chunks if c.choices and c.choices[0].logprobs for e in c.choices[0].logprobs.content]
    assert [e.token for e in streamed] == [e.token for e in whole.logprobs.content]
    with pytest.raises(openai.BadRequestError) as e:
        api.chat.completions.create(**{**ask, "response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "schema": {"$ref": "#/$defs/none"}}}})
    assert e.value.param == "response_format"


def test_errors_map_to_the_sdks_own_classes(network):
    coordinator, _, client = network
    api = sdk(coordinator, client.key)

    def ask(**more):
        return (more.pop("api", api)).chat.completions.create(**{"model": MODEL_ID, "messages": PARIS, **more})

    with pytest.raises(openai.AuthenticationError) as e:
        ask(api=sdk(coordinator, "wrong"))
    assert e.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as e:
        ask(model="nobody-has-this")
    assert (e.value.code, e.value.param) == ("model_not_found", "model")
    for bad, param in (({"max_tokens": 0}, "max_tokens"), ({"temperature": 3}, "temperature"),
                       ({"messages": []}, "messages")):
        with pytest.raises(openai.BadRequestError) as e:
            ask(**bad)
        assert e.value.param == param
    with pytest.raises(openai.BadRequestError) as e:
        ask(messages=[{"role": "user", "content": "word " * 4000}], stream=True)
    assert e.value.code == "context_length_exceeded"
    with pytest.raises(openai.APIStatusError) as e:
        ask(api=sdk(coordinator, coordinator.make_key("poor", "0.0001")))
    assert e.value.status_code == 402 and e.value.code == "insufficient_quota"


def test_failures_in_mid_stream_and_limits_map_too(open_coordinator):
    coordinator, client = open_coordinator("--rate", "0.01", "--rate-burst", "2", "--queue-wait-ms", "200")

    def dies(r):
        r.accept()
        r.chunk("one")
        r.error("the machine is on fire", 500)

    provider = ScriptedProvider(coordinator.port, on_request=dies)
    assert provider.trusted.wait(20)
    api = sdk(coordinator, client.key)
    with pytest.raises(openai.APIError):
        list(api.chat.completions.create(model="scripted-model", messages=PARIS, stream=True))
    provider.close()
    with pytest.raises(openai.RateLimitError) as e:
        api.chat.completions.create(model="scripted-model", messages=PARIS)
    assert e.value.code == "model_not_available" and int(e.value.response.headers["Retry-After"]) > 0
    with pytest.raises(openai.RateLimitError):
        api.chat.completions.create(model="scripted-model", messages=PARIS)
