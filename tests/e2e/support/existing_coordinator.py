# SPDX-License-Identifier: Apache-2.0
"""A coordinator by script that behaves as the existing one: it accepts a provider, challenges it, sends
requests sealed by PyNaCl, and keeps every frame as it came."""

import base64
import contextlib
import json
import threading

from nacl.public import Box, PrivateKey, PublicKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve


class Session:
    """One provider's connection, from `register` on."""

    def __init__(self, ws, register):
        self.ws = ws
        self.register_text = register
        self.register = json.loads(register)
        self.public = PublicKey(base64.b64decode(self.register["public_key"]))
        self.boxes = {}
        self.frames = []
        self.arrived = threading.Condition()
        self.closed = False

    def run(self):
        with contextlib.suppress(ConnectionClosed):
            for text in self.ws:
                with self.arrived:
                    self.frames.append((text, json.loads(text)))
                    self.arrived.notify_all()
        with self.arrived:
            self.closed = True
            self.arrived.notify_all()

    def send(self, message):
        self.ws.send(json.dumps(message))  # JSON may have spaces: the provider has to read it

    def of_type(self, *types, request_id=None):
        return [m for _, m in self.frames if m["type"] in types
                and (request_id is None or m.get("request_id") == request_id)]

    def wait_for(self, condition, what, deadline_s=60):
        """The condition's value, once it is true."""
        value = []

        def look():
            value[:] = [condition()]
            return value[0] or self.closed

        with self.arrived:
            assert self.arrived.wait_for(look, deadline_s) and value[0], \
                f"{what}; the provider sent {[m['type'] for _, m in self.frames]}"
        return value[0]

    def request(self, request_id, body):
        """Seal a body to the provider, under a key pair of its own, as each request has."""
        key = PrivateKey.generate()
        self.boxes[request_id] = Box(key, self.public)
        sealed = self.boxes[request_id].encrypt(json.dumps(body).encode())
        self.send({"encrypted_body": {"ciphertext": base64.b64encode(sealed).decode(),
                                      "ephemeral_public_key": base64.b64encode(bytes(key.public_key)).decode()},
                   "request_id": request_id, "type": "inference_request"})

    def lines(self, request_id):
        """The opened chunks of a request."""
        out = []
        for m in self.of_type("inference_response_chunk", request_id=request_id):
            assert "data" not in m, "a chunk in clear"
            assert m["encrypted_data"]["ephemeral_public_key"] == self.register["public_key"]
            sealed = base64.b64decode(m["encrypted_data"]["ciphertext"])
            out.append(self.boxes[request_id].decrypt(sealed).decode())
        return out

    def end_of(self, request_id):
        return self.wait_for(lambda: self.of_type("inference_complete", "inference_error", request_id=request_id),
                             f"{request_id} ends")[0]


class ExistingCoordinator:
    def __init__(self):
        self.sessions = []
        self.arrived = threading.Condition()
        self.server = serve(self._serve, "127.0.0.1", 0, max_size=None)
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _serve(self, ws):
        assert ws.request.path == "/ws/provider"
        session = Session(ws, ws.recv(timeout=30))
        with self.arrived:
            self.sessions.append(session)
            self.arrived.notify_all()
        session.run()

    def session(self, number=0, deadline_s=60):
        """The provider's connection of that number."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.sessions) > number, deadline_s), "a provider registers"
        return self.sessions[number]

    def close(self):
        self.server.shutdown()
