# SPDX-License-Identifier: Apache-2.0
"""A provider by script: speaks wire format 1 with PyNaCl for the envelopes, independent of our own code,
and does with each request what the test says."""

import base64
import contextlib
import json
import threading

from nacl.public import Box, PrivateKey, PublicKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

FLAGS = ["text_backend_inprocess", "text_proxy_disabled", "python_runtime_locked", "dangerous_modules_blocked",
         "sip_enabled", "anti_debug_enabled", "core_dumps_disabled", "env_scrubbed", "hypervisor_active"]


def chunk(text=None, finish=None, **more):
    delta = {} if text is None else {"content": text}
    return {"id": "chatcmpl-script", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


class Request:
    """One inference request at the scripted provider."""

    def __init__(self, provider, message):
        self.provider = provider
        self.id = message["request_id"]
        envelope = message["encrypted_body"]
        self.peer = PublicKey(base64.b64decode(envelope["ephemeral_public_key"]))
        self.box = Box(provider.key, self.peer)
        self.body = json.loads(self.box.decrypt(base64.b64decode(envelope["ciphertext"])))
        self.cancelled = threading.Event()

    def accept(self, **more):
        self.provider.send({"type": "inference_accepted", "request_id": self.id, **more})

    def seal(self, line):
        return base64.b64encode(self.box.encrypt(line.encode())).decode()

    def line(self, line, **more):
        self.provider.send({"type": "inference_response_chunk", "request_id": self.id,
                            "encrypted_data": {"ephemeral_public_key": self.provider.public,
                                               "ciphertext": self.seal(line)}, **more})

    def chunk(self, *args, **kwargs):
        self.line("data: " + json.dumps(chunk(*args, **kwargs)))

    def complete(self, prompt=5, completion=3):
        self.provider.send({"type": "inference_complete", "request_id": self.id,
                            "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})

    def error(self, text, status, **more):
        self.provider.send({"type": "inference_error", "request_id": self.id, "error": text,
                            "status_code": status, **more})

    def answer(self, *texts):
        self.accept()
        for text in texts:
            self.chunk(text)
        self.chunk(finish="stop")
        self.line("data: [DONE]")
        self.complete(completion=len(texts))


class ScriptedProvider:
    """Connects and registers at once; `on_request` (see manners.py) runs in a thread of its own for each request.
    `slots`: requests at once, as each heartbeat says; None: the coordinator's guess. `misses`: so many challenges
    go unanswered before it answers."""

    def __init__(self, port, model="scripted-model", on_request=None, models=None, register=True, key=None,
                 cpu_usage=None, slots=None, misses=0, tls=None):
        self.key = key or PrivateKey.generate()
        self.public = base64.b64encode(bytes(self.key.public_key)).decode()
        self.on_request = on_request or (lambda r: r.answer("Hello", " from", " script"))
        self.models = models or [model]
        self.slots, self.misses = slots, misses
        self.challenges = []  # all that came, answered or not
        self.requests, self.cancels, self.others = [], [], []
        self.arrived = threading.Condition()
        self.trusted = threading.Event()
        self.closed = threading.Event()
        self.stack = contextlib.ExitStack()
        self.ws = self.stack.enter_context(connect(
            f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/ws/provider", max_size=None, ssl=tls))
        if register:
            self.register()
            if cpu_usage is not None or slots is not None:
                self.heartbeat(cpu_usage or 0.1)  # before the challenge is answered: it counts from the first request on
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def send(self, message):
        self.ws.send(json.dumps(message))  # with spaces after ':' and ',', as some peers write

    def registration(self):
        return {"type": "register",
                "hardware": {"machine_model": "Script1,1", "chip_name": "Script", "chip_family": "Unknown",
                             "chip_tier": "Unknown", "memory_gb": 64, "memory_available_gb": 60,
                             "cpu_cores": {"total": 8, "performance": 8, "efficiency": 0}, "gpu_cores": 0,
                             "memory_bandwidth_gbs": 100},
                "models": [{"id": m, "size_bytes": 1000, "model_type": "chat", "quantization": "8bit"}
                           for m in self.models],
                "backend": "inprocess-mlx", "version": "9.9.9", "public_key": self.public,
                "encrypted_response_chunks": True,
                "privacy_capabilities": {f: True for f in FLAGS}}

    def register(self):
        self.send(self.registration())

    def heartbeat(self, cpu_usage=0.1, **more):
        if self.slots is not None:
            more = {"backend_capacity": {"slots": [], "max_running": self.slots}, **more}
        self.send({"type": "heartbeat", "status": "idle", "active_model": None,
                   "stats": {"requests_served": 0, "tokens_generated": 0},
                   "system_metrics": {"memory_pressure": 0.1, "cpu_usage": cpu_usage,
                                      "thermal_state": "nominal"}, **more})

    def challenge_response(self, m):
        return {"type": "attestation_response", "nonce": m["nonce"], "signature": "c2ln",
                "public_key": self.public, "sip_enabled": True, "secure_boot_enabled": True,
                "rdma_disabled": True, "hypervisor_active": True}

    def _run(self):
        try:
            for text in self.ws:
                self._handle(json.loads(text))
        except ConnectionClosed:
            pass
        self.closed.set()

    def _handle(self, m):
        if m["type"] == "attestation_challenge":
            with self.arrived:
                self.challenges.append(m)
                answers = len(self.challenges) > self.misses
                self.arrived.notify_all()
            if answers:
                self.send(self.challenge_response(m))
                self.trusted.set()
            return
        with self.arrived:
            if m["type"] == "inference_request":
                request = Request(self, m)
                self.requests.append(request)
            elif m["type"] == "cancel":
                self.cancels.append(m["request_id"])
                for r in self.requests:
                    if r.id == m["request_id"]:
                        r.cancelled.set()
            else:
                self.others.append(m)
            self.arrived.notify_all()
        if m["type"] == "inference_request":
            threading.Thread(target=self._serve, args=(request,), daemon=True).start()

    def _serve(self, request):
        try:
            self.on_request(request)
        except ConnectionClosed:
            pass

    def wait_for(self, condition, what, deadline_s=30):
        with self.arrived:
            assert self.arrived.wait_for(condition, deadline_s), what

    def close(self):
        self.stack.close()
        self.closed.wait(10)

    def drop(self):
        """Vanish without a word."""
        self.ws.socket.close()
