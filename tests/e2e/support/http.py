# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP, without an SDK between the test and the bytes."""

import http.client
import json


def messages(text="hi"):
    return [{"role": "user", "content": text}]


class Client:
    def __init__(self, coordinator, key, tls=None):
        self.coordinator, self.key, self.tls = coordinator, key, tls  # an ssl.SSLContext; None: plain HTTP

    def open(self, body, headers=None, path="/v1/chat/completions", method="POST"):
        if self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.coordinator.port, timeout=120, context=self.tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.coordinator.port, timeout=120)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, {"X-Darkbloom-Receipt": "1", "Authorization": f"Bearer {self.key}",
                                                "Content-Type": "application/json", **(headers or {})})
        return connection, connection.getresponse()

    def call(self, body, headers=None, **kwargs):
        """Status, headers and decoded JSON of an answer in one piece."""
        connection, response = self.open(body, headers, **kwargs)
        data = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), json.loads(data) if data else None

    def events(self, body, headers=None):
        """The payloads of a stream's events, [DONE] as a string."""
        connection, response = self.open({**body, "stream": True}, headers)
        assert response.status == 200, response.read()
        assert response.getheader("Content-Type") == "text/event-stream"
        out = []
        for line in response:
            line = line.rstrip(b"\r\n")
            if line.startswith(b"data: "):
                data = line[6:].decode()
                out.append(data if data == "[DONE]" else json.loads(data))
        connection.close()
        return dict(response.getheaders()), out


def text_of(events):
    return "".join(c["delta"].get("content") or "" for e in events if isinstance(e, dict)
                   for c in e.get("choices", []))
