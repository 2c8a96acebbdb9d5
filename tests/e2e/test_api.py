# SPDX-License-Identifier: Apache-2.0
"""What a consumer may ask of an answer's form, with the real model behind the whole path."""

import json
import math

import pytest
from support.http import messages, text_of
from support.programs import MODEL_ID

PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"},
                                           "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2}},
          "required": ["name", "age", "tags"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def ask(prompt="Describe a person as JSON.", tokens=120, **more):
    return {"model": MODEL_ID, "messages": messages(prompt), "max_tokens": tokens, "temperature": 0, **more}


def schema(of):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": of}}


@pytest.mark.parametrize("temperature", [0, 1])
def test_an_answer_fits_the_schema_that_was_asked_for(network, temperature):
    _, _, client = network
    status, _, body = client.call(ask(response_format=schema(PERSON), temperature=temperature, seed=7))
    assert status == 200 and body["choices"][0]["finish_reason"] == "stop"
    answer = json.loads(body["choices"][0]["message"]["content"])
    assert set(answer) == {"name", "age", "tags"} and isinstance(answer["age"], int)
    assert len(answer["name"]) <= 12 and set(answer["tags"]) <= {"a", "b"} and len(answer["tags"]) <= 2


def test_a_stream_fits_it_too(network):
    _, _, client = network
    _, events = client.events(ask(response_format=schema(PERSON)))
    assert set(json.loads(text_of(events))) == {"name", "age", "tags"}


def test_recursion_through_properties_is_followed(network):
    _, _, client = network
    tree = {"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object", "properties": {"value": {"type": "integer"}, "next": {"anyOf": [
            {"type": "null"}, {"$ref": "#/$defs/node"}]}}, "required": ["value", "next"]}}}
    status, _, body = client.call(ask(response_format=schema(tree)))
    assert status == 200
    if body["choices"][0]["finish_reason"] == "stop":
        assert "value" in json.loads(body["choices"][0]["message"]["content"])


def test_json_object_means_an_object(network):
    _, _, client = network
    status, _, body = client.call(ask("Give a short JSON object with a field ok.", response_format={"type": "json_object"}))
    assert status == 200 and body["choices"][0]["message"]["content"].lstrip().startswith("{")


BAD_SCHEMAS = {
    "depth": ({"type": "array", "items": json.loads('{"items":' * 40 + "{}" + "}" * 40)}, "32 levels"),
    "size": ({"enum": ["x" * 70000]}, "64 KiB"),
    "values": ({"enum": list(range(5000))}, "4096 values"),
    "repeats": ({"type": "array", "items": {"type": "string", "maxLength": 900}, "maxItems": 900}, "1000 repetitions"),
    "count": ({"type": "string", "minLength": -1}, "1000 repetitions"),
    "nowhere": ({"$ref": "#/$defs/none"}, "$ref"),
    "outside": ({"$ref": "https://example.com/schema"}, "$ref"),
    "circle": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "$ref"),
    "circle of unions": ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}},
                         "$ref"),
    "class": ({"type": "string", "pattern": "^\\d+$"}, "write [0-9]"),
    "anchor": ({"type": "string", "pattern": "abc"}, "write [0-9]"),
    "explosion": ({"type": "string", "pattern": "^((a{900}){900})$"}, "write [0-9]"),
    "look": ({"type": "string", "pattern": "^(?=a)a$"}, "write [0-9]"),
    "word": ({"not": {"type": "string"}}, "no grammar can follow"),
    "type": ({"type": "nonsense"}, "cannot be made a grammar"),
}


@pytest.mark.parametrize("name", BAD_SCHEMAS)
def test_a_schema_beyond_the_bounds_is_refused_by_name_limit_and_way_out(network, name):
    _, _, client = network
    bad, words = BAD_SCHEMAS[name]
    status, _, body = client.call(ask(response_format=schema(bad)))
    assert status == 400, body
    assert body["error"]["param"] == "response_format" and words in body["error"]["message"], body


def test_logprobs_tell_of_each_token_and_its_rivals(network):
    _, _, client = network
    wanted = ask("What is the capital of France? Answer in one sentence.", logprobs=True, top_logprobs=3)
    _, _, body = client.call(wanted)
    entries = body["choices"][0]["logprobs"]["content"]
    assert "".join(e["token"] for e in entries) == body["choices"][0]["message"]["content"]
    assert len(entries) in (body["usage"]["completion_tokens"], body["usage"]["completion_tokens"] - 1)
    for e in entries:
        assert e["logprob"] <= 0 and bytes(e["bytes"]).decode() == e["token"] and len(e["top_logprobs"]) == 3
        tops = [t["logprob"] for t in e["top_logprobs"]]
        assert tops == sorted(tops, reverse=True) and e["top_logprobs"][0]["token"] == e["token"]
        assert sum(math.exp(t) for t in tops) <= 1.0001
    _, events = client.events(wanted)
    streamed = [e for event in events[:-1] for c in event["choices"] for e in (c.get("logprobs") or {}).get("content", [])]
    assert streamed == entries


def test_logit_bias_and_penalties_change_what_is_said(network):
    _, _, client = network
    plain = client.call(ask("Count from one to ten.", 24))[2]["choices"][0]["message"]["content"]
    first = client.call(ask("Count from one to ten.", 1, logprobs=True, top_logprobs=1))[2]
    assert first["choices"][0]["logprobs"]["content"]
    for more in ({"repetition_penalty": 2}, {"frequency_penalty": 2, "presence_penalty": 2},
                 {"logit_bias": {str(t): -100 for t in range(1000)}}):
        assert client.call(ask("Count from one to ten.", 24, **more))[2]["choices"][0]["message"]["content"] != plain
    assert client.call(ask("Count from one to ten.", 24, temperature=1, min_p=1, seed=3))[2]["choices"][0]["message"][
        "content"] == plain


@pytest.mark.parametrize("more, param, words", [
    ({"logit_bias": {"49152": 1}}, "logit_bias", "does not have"), ({"logit_bias": {"x": 1}}, "logit_bias", "token ids"),
    ({"top_logprobs": 2}, "top_logprobs", "logprobs"), ({"logprobs": 3}, "logprobs", "true or false"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "20"), ({"repetition_penalty": 0}, "repetition_penalty", "0.01"),
    ({"min_p": 1.5}, "min_p", "0 to 1"), ({"tools": [TOOL]}, "tools", "does not know tools"),
    ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice", "none, auto, required"),
    ({"tools": {}}, "tools", "array"), ({"tool_choice": "required"}, "tool_choice", "tools is empty"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "object"),
    ({"response_format": {"type": "grammar"}}, "response_format", "does not do"), ({"n": 2}, "n", "n must be 1"),
])
def test_what_cannot_be_had_is_refused_by_name(network, more, param, words):
    _, _, client = network
    status, _, body = client.call(ask(**more))
    assert status == 400 and body["error"]["param"] == param and words in body["error"]["message"], body


def test_tools_that_may_not_be_called_are_no_hindrance(network):
    _, _, client = network
    assert client.call(ask("Say hello.", 8, tools=[TOOL], tool_choice="none"))[0] == 200
