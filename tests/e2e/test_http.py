# SPDX-License-Identifier: Apache-2.0
"""The HTTP surface itself, byte by byte: what browsers, proxies and careless clients send."""

import json
import re
import socket

import pytest
from support.http import Client, messages
from support.programs import Coordinator
from support.scripted import ScriptedProvider

GOOD = {"model": "scripted-model", "messages": messages()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    coordinator = Coordinator(tmp_path_factory.mktemp("http"), "--min-trust", "none", "--rate", "0").start()
    provider = ScriptedProvider(coordinator.port)
    assert provider.trusted.wait(20)
    coordinator.wait_for_log(r"event=provider_trust .*reason=challenge_passed")
    yield coordinator, Client(coordinator, coordinator.make_key())
    provider.close()
    coordinator.wait_until_settled()
    coordinator.stop()


class Raw:
    """A connection that sends what it is given and takes answers apart."""

    def __init__(self, coordinator):
        self.socket = socket.create_connection(("127.0.0.1", coordinator.port), timeout=30)
        self.stream = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, has_body=True):
        """Status, headers (names in lower case) and body of the next answer; None at the end."""
        line = self.stream.readline()
        if not line:
            return None
        status, headers = int(line.split()[1]), {}
        while (line := self.stream.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.stream.read(int(headers.get("content-length", 0))) if has_body else b""
        return status, headers, body

    def at_end(self):
        return self.stream.read() == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()


def chat(client, body=None, version="1.1", extra=""):
    data = json.dumps(body or GOOD).encode()
    return (f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\n{extra}"
            f"Content-Length: {len(data)}\r\n\r\n").encode() + data


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def test_requests_in_one_write_are_answered_in_their_order(world):
    coordinator, client = world
    with Raw(coordinator) as raw:
        raw.send(HEALTH + chat(client) + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + chat(client) + HEALTH)
        answers = [raw.answer() for _ in range(5)]
    assert [a[0] for a in answers] == [200, 200, 404, 200, 200]
    assert json.loads(answers[1][2])["choices"][0]["message"]["content"] == "Hello from script"


def test_a_connection_is_kept_after_an_error_and_closed_when_asked(world):
    coordinator, client = world
    with Raw(coordinator) as raw:
        raw.send(chat(client, {"model": "scripted-model"}))
        assert raw.answer()[0] == 400
        raw.send(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert raw.answer()[0] == 200
        assert raw.at_end()


def test_a_stream_can_be_followed_by_another_request_on_the_same_connection(world):
    coordinator, client = world
    with Raw(coordinator) as raw:
        raw.send(chat(client, {**GOOD, "stream": True}) + HEALTH)
        status, headers, _ = raw.answer()
        assert status == 200 and headers["transfer-encoding"] == "chunked"
        body = b""
        while (size := int(raw.stream.readline(), 16)):
            body += raw.stream.read(size)
            assert raw.stream.readline() == b"\r\n"
        assert raw.stream.readline() == b"\r\n"
        assert body.count(b"data: [DONE]\n\n") == 1 and body.endswith(b"data: [DONE]\n\n")
        assert all(re.fullmatch(rb"data: (\{.*\}|\[DONE\])", e) for e in body.split(b"\n\n")[:-1])
        assert raw.answer()[0] == 200


def test_a_body_in_chunks_and_one_that_is_announced_are_read(world):
    coordinator, client = world
    data = json.dumps(GOOD).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\n".encode()
    with Raw(coordinator) as raw:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 7]), data[i:i + 7]) for i in range(0, len(data), 7))
        raw.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        assert raw.answer()[0] == 200
        raw.send(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(data))
        assert raw.stream.readline() == b"HTTP/1.1 100 Continue\r\n" and raw.stream.readline() == b"\r\n"
        raw.send(data)
        assert raw.answer()[0] == 200


def test_http_1_0_ends_a_stream_by_closing(world):
    coordinator, client = world
    with Raw(coordinator) as raw:
        raw.send(chat(client, {**GOOD, "stream": True}, version="1.0"))
        status, headers, _ = raw.answer(has_body=False)
        assert status == 200 and "transfer-encoding" not in headers
        assert raw.stream.read().endswith(b"data: [DONE]\n\n")


def test_a_preflight_says_what_a_page_may_send(world):
    _, client = world
    connection, response = client.open(None, {"Origin": "https://console.darkbloom.dev"},
                                       path="/v1/chat/completions", method="OPTIONS")
    assert response.status == 204 and response.read() == b""
    assert response.getheader("Access-Control-Allow-Origin") == "https://console.darkbloom.dev"
    assert "Authorization" in response.getheader("Access-Control-Allow-Headers")
    assert "POST" in response.getheader("Access-Control-Allow-Methods")
    connection.close()


def test_head_has_no_body_and_leaves_the_connection_usable(world):
    coordinator, _ = world
    with Raw(coordinator) as raw:
        raw.send(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n" + HEALTH)
        assert raw.answer(has_body=False)[0] == 200
        status, _, body = raw.answer()
        assert status == 200 and json.loads(body)["status"] == "ok"


@pytest.mark.parametrize("name, data, status", [
    ("no HTTP", b"hello\r\n\r\n", 400),
    ("an unknown version", b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n", 505),
    ("a length that is no number", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
     400),
    ("two lengths", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     400),
    ("length and chunks", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a head over the limit", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70000 + b"\r\n\r\n", 431),
    ("a body without a key", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
     b"Content-Length: 6000000\r\n\r\n", 401),
    ("a body with a key that nobody has", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
     b"Authorization: Bearer x\r\nContent-Length: 6000000\r\n\r\n", 401),
    ("a body over the limit in chunks", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
     b"Authorization: Bearer $KEY\r\nTransfer-Encoding: chunked\r\n\r\n700000\r\n" + b"x" * 0x700000 + b"\r\n0\r\n\r\n", 413),
])
def test_what_is_no_request_gets_an_error_object_and_the_connection_ends(world, name, data, status):
    coordinator, client = world
    with Raw(coordinator) as raw:
        try:
            raw.send(data.replace(b"$KEY", client.key.encode(), 1))
        except OSError:
            pass  # told so while still sending
        got, headers, body = raw.answer()
        error = json.loads(body)["error"]
        assert got == status and headers["content-type"] == "application/json", name
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
    with Raw(coordinator) as raw:
        raw.send(HEALTH)
        assert raw.answer()[0] == 200


def test_the_socket_of_providers_is_no_page(world):
    _, client = world
    status, _, body = client.call(None, path="/ws/provider", method="GET")
    assert status == 400 and "WebSocket" in body["error"]["message"]


def test_a_trace_id_comes_back_and_a_bad_one_is_replaced(world):
    _, client = world
    assert client.call(GOOD, {"X-Request-Id": "trace-7"})[1]["X-Request-Id"] == "trace-7"
    assert len(client.call(GOOD, {"X-Request-Id": "x" * 500})[1]["X-Request-Id"]) == 36


def test_a_trust_level_can_be_demanded_for_one_request(world):
    _, client = world
    status, _, body = client.call(GOOD, {"X-Min-Trust-Level": "certainly"})
    assert status == 400 and body["error"]["param"] == "X-Min-Trust-Level"
    assert client.call(GOOD, {"X-Min-Trust-Level": "none"})[0] == 200
