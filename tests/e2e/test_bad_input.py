# SPDX-License-Identifier: Apache-2.0
"""Bad input gets an error in OpenAI's form that names the field; the ledger balances after each."""

import json
import socket

import pytest
from support.http import Client, messages
from support.scripted import ScriptedProvider

GOOD = {"model": "scripted-model", "messages": messages()}


@pytest.fixture
def world(open_coordinator):
    coordinator, client = open_coordinator()
    provider = ScriptedProvider(coordinator.port)
    assert provider.trusted.wait(20)
    yield coordinator, client, provider
    provider.close()


def check_error(status, body, want_status, code, param):
    assert status == want_status, body
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    assert (error["code"], error["param"]) == (code, param), error


CASES = [
    ("no model", {"messages": messages()}, 400, "missing_required_parameter", "model"),
    ("empty model", {**GOOD, "model": ""}, 400, "invalid_value", "model"),
    ("model of a wrong type", {**GOOD, "model": 7}, 400, "invalid_type", "model"),
    ("unknown model", {**GOOD, "model": "nobody-has-this"}, 404, "model_not_found", "model"),
    ("no messages", {"model": "scripted-model"}, 400, "missing_required_parameter", "messages"),
    ("empty messages", {**GOOD, "messages": []}, 400, "invalid_value", "messages"),
    ("messages of a wrong type", {**GOOD, "messages": "hi"}, 400, "invalid_type", "messages"),
    ("a message that is no object", {**GOOD, "messages": ["hi"]}, 400, "invalid_type", "messages[0]"),
    ("unknown role", {**GOOD, "messages": [{"role": "king", "content": "x"}]}, 400, "invalid_value",
     "messages[0].role"),
    ("no role", {**GOOD, "messages": [{"content": "x"}]}, 400, "missing_required_parameter", "messages[0].role"),
    ("content of a wrong type", {**GOOD, "messages": [{"role": "user", "content": 3}]}, 400, "invalid_type",
     "messages[0].content"),
    ("max_tokens 0", {**GOOD, "max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    ("max_tokens -1", {**GOOD, "max_tokens": -1}, 400, "invalid_value", "max_tokens"),
    ("max_tokens 10^18", {**GOOD, "max_tokens": 10**18}, 400, "invalid_value", "max_tokens"),
    ("max_tokens beyond 64 bits", {**GOOD, "max_tokens": 10**30}, 400, "invalid_value", "max_tokens"),
    ("max_tokens of a wrong type", {**GOOD, "max_tokens": "5"}, 400, "invalid_type", "max_tokens"),
    ("max_completion_tokens 0", {**GOOD, "max_completion_tokens": 0}, 400, "invalid_value",
     "max_completion_tokens"),
    ("temperature too high", {**GOOD, "temperature": 2.1}, 400, "invalid_value", "temperature"),
    ("temperature below 0", {**GOOD, "temperature": -0.1}, 400, "invalid_value", "temperature"),
    ("temperature of a wrong type", {**GOOD, "temperature": "hot"}, 400, "invalid_type", "temperature"),
    ("top_p too high", {**GOOD, "top_p": 1.5}, 400, "invalid_value", "top_p"),
    ("n of 2", {**GOOD, "n": 2}, 400, "unsupported_parameter", "n"),
    ("stream of a wrong type", {**GOOD, "stream": "yes"}, 400, "invalid_type", "stream"),
    ("empty stop", {**GOOD, "stop": ""}, 400, "invalid_value", "stop"),
    ("model null", {**GOOD, "model": None}, 400, "missing_required_parameter", "model"),
    ("messages null", {**GOOD, "messages": None}, 400, "missing_required_parameter", "messages"),
    ("role of a wrong type", {**GOOD, "messages": [{"role": 5, "content": "x"}]}, 400, "invalid_type",
     "messages[0].role"),
    ("no content", {**GOOD, "messages": [{"role": "user"}]}, 400, "missing_required_parameter",
     "messages[0].content"),
    ("max_tokens with a fraction", {**GOOD, "max_tokens": 1.5}, 400, "invalid_type", "max_tokens"),
    ("max_tokens true", {**GOOD, "max_tokens": True}, 400, "invalid_type", "max_tokens"),
    ("temperature true", {**GOOD, "temperature": True}, 400, "invalid_type", "temperature"),
    ("temperature of 10^300", {**GOOD, "temperature": 1e300}, 400, "invalid_value", "temperature"),
    ("top_p of a wrong type", {**GOOD, "top_p": []}, 400, "invalid_type", "top_p"),
    ("top_k with a fraction", {**GOOD, "top_k": 1.5}, 400, "invalid_type", "top_k"),
    ("top_k below 0", {**GOOD, "top_k": -1}, 400, "invalid_value", "top_k"),
    ("frequency_penalty of a wrong type", {**GOOD, "frequency_penalty": {}}, 400, "invalid_type",
     "frequency_penalty"),
    ("presence_penalty too high", {**GOOD, "presence_penalty": 3}, 400, "invalid_value", "presence_penalty"),
    ("n of a wrong type", {**GOOD, "n": "1"}, 400, "invalid_type", "n"),
    ("seed of a wrong type", {**GOOD, "seed": "x"}, 400, "invalid_type", "seed"),
    ("stop of a wrong type", {**GOOD, "stop": 5}, 400, "invalid_type", "stop"),
    ("stop with a wrong type", {**GOOD, "stop": ["a", 5]}, 400, "invalid_type", "stop"),
    ("stream_options of a wrong type", {**GOOD, "stream_options": True}, 400, "invalid_type", "stream_options"),
    ("a field that stands twice", b'{"model":"a","model":"b","messages":[]}', 400, "invalid_request_error", None),
    ("deep nesting", b'{"model":"scripted-model","messages":' + b"[" * 100000, 400, "invalid_request_error", None),
    ("broken JSON", b'{"model": "m"', 400, "invalid_json", None),
    ("an array", b"[1]", 400, "invalid_json", None),
    ("nothing", b"", 400, "invalid_json", None),
    ("garbage behind the object", b'{"model":"m"} x', 400, "invalid_json", None),
    ("invalid UTF-8", b'{"model":"scripted-model","messages":[{"role":"user","content":"\xff\xfe"}]}', 400,
     "invalid_utf8", None),
]


def test_bad_bodies(world):
    coordinator, client, provider = world
    for name, body, status, code, param in CASES:
        got, _, answer = client.call(body)
        print(name)
        check_error(got, answer, status, code, param)
    coordinator.ledger_is_balanced()
    assert provider.requests == []


def test_keys(world):
    coordinator, client, _ = world
    for key in ("eigeninference-" + "0" * 64, "nonsense", ""):
        status, _, body = Client(coordinator, key).call(GOOD)
        check_error(status, body, 401, "invalid_api_key", None)
    status, _, body = client.call(GOOD, {"Authorization": "Basic x"})
    check_error(status, body, 401, "invalid_api_key", None)
    assert Client(coordinator, "").call(None, path="/v1/models", method="GET")[0] == 401


def test_a_revoked_key_stops_working_while_the_coordinator_runs(world):
    coordinator, _, _ = world
    key = coordinator.make_key("other")
    client = Client(coordinator, key)
    assert client.call(GOOD)[0] == 200
    coordinator.command("key", "revoke", key)
    from support.programs import wait_until
    wait_until(lambda: client.call(GOOD)[0] == 401, "the revoked key is refused")


def test_a_body_over_the_limit_is_told_so_while_it_is_still_being_sent(world):
    coordinator, client, _ = world
    size = 7 << 20
    with socket.create_connection(("127.0.0.1", coordinator.port), timeout=30) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + client.key.encode() +
                  b"\r\nContent-Length: " + str(size).encode() + b"\r\n\r\n")
        try:
            for _ in range(size >> 16):
                s.sendall(b"x" * 65536)
        except OSError:
            pass
        answer = b""
        while data := s.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 "), head
    check_error(413, json.loads(body), 413, "request_too_large", None)


def test_a_large_body_below_the_limit_is_served(world):
    _, client, _ = world
    status, _, body = client.call({**GOOD, "messages": messages("x" * (5 << 20))})
    assert status == 200, body


def test_paths_and_methods(world):
    _, client, _ = world
    assert client.call(None, path="/health", method="GET")[2] == {"providers": 1, "status": "ok"}
    status, _, body = client.call(None, path="/nowhere", method="GET")
    check_error(status, body, 404, "not_found", None)
    status, _, body = client.call(None, path="/v1/chat/completions", method="GET")
    check_error(status, body, 405, "method_not_allowed", None)
    assert client.call(None, path="/v1/models", method="GET")[2]["data"][0]["id"] == "scripted-model"


def test_too_little_money_is_402_before_any_provider_sees_the_request(world):
    coordinator, _, provider = world
    poor = Client(coordinator, coordinator.make_key("poor", "0.0001"))
    status, _, body = poor.call(GOOD)
    check_error(status, body, 402, "insufficient_quota", None)
    assert provider.requests == []


def test_an_idempotency_key_never_runs_twice(world):
    _, client, provider = world
    headers = {"Idempotency-Key": "once"}
    assert client.call(GOOD, headers)[0] == 200
    status, _, body = client.call(GOOD, headers)
    check_error(status, body, 409, "idempotency_key_in_use", "Idempotency-Key")
    status, _, body = client.call({**GOOD, "temperature": 1}, headers)
    check_error(status, body, 422, "idempotency_key_reused", "Idempotency-Key")
    assert len(provider.requests) == 1


def test_the_rate_limit_says_when_it_frees_up(open_coordinator):
    coordinator, client = open_coordinator("--rate", "0.01", "--rate-burst", "2")
    provider = ScriptedProvider(coordinator.port)
    assert provider.trusted.wait(20)
    statuses = [client.call(GOOD) for _ in range(3)]
    assert [s[0] for s in statuses] == [200, 200, 429]
    check_error(429, statuses[2][2], 429, "rate_limit_exceeded", None)
    assert 1 <= int(statuses[2][1]["Retry-After"]) <= 60
    provider.close()


def test_without_a_provider_a_known_model_waits_and_then_is_429(open_coordinator):
    coordinator, client = open_coordinator("--queue-wait-ms", "300")
    provider = ScriptedProvider(coordinator.port)
    assert provider.trusted.wait(20)
    assert client.call(GOOD)[0] == 200
    provider.close()
    status, headers, body = client.call(GOOD)
    check_error(status, body, 429, "model_not_available", "model")
    assert int(headers["Retry-After"]) > 0
