# SPDX-License-Identifier: Apache-2.0
"""Wire format 1 in both directions: a provider of the existing system at our coordinator, from recorded
frames, and our provider at a coordinator that behaves as the existing one."""

import base64
import hashlib
import json
import pathlib

import pytest
from nacl.public import Box, PrivateKey, PublicKey
from support import p256
from support.attested import AttestedProvider, go_status, rust_status
from support.existing_coordinator import ExistingCoordinator
from support.http import messages, text_of
from support.programs import MODEL_ID, Provider
from support.scripted import ScriptedProvider

# golden/open.jsonl: a simulated provider's session with the existing coordinator, byte for byte. The
# provider's private key is 0, 1, 2 … 31, so that both directions can be opened.
GOLDEN = [json.loads(line) for line in
          (pathlib.Path(__file__).parent / "golden" / "open.jsonl").read_text().splitlines()]
GOLDEN_KEY = PrivateKey(bytes(range(32)))
GOLDEN_MODEL = "mlx-community/gemma-4-26b-a4b-it-8bit"


def golden_text(kind):
    return [g["text"] for g in GOLDEN if g["from"] == "provider" and json.loads(g["text"])["type"] == kind][0]


def golden_answers():
    """What the recorded provider said to each request: its opened lines and its inference_complete."""
    boxes, lines, ends = {}, {}, {}
    for m in (json.loads(g["text"]) for g in GOLDEN):
        if m["type"] == "inference_request":
            peer = PublicKey(base64.b64decode(m["encrypted_body"]["ephemeral_public_key"]))
            boxes[m["request_id"]] = Box(GOLDEN_KEY, peer)
        elif m["type"] == "inference_response_chunk":
            sealed = base64.b64decode(m["encrypted_data"]["ciphertext"])
            lines.setdefault(m["request_id"], []).append(boxes[m["request_id"]].decrypt(sealed).decode())
        elif m["type"] == "inference_complete":
            ends[m["request_id"]] = m
    return [(lines[i], ends[i]) for i in boxes]


class GoldenProvider(ScriptedProvider):
    """Sends the recorded frames; only what the coordinator chose (nonce, ids, keys) is put in their place."""

    def __init__(self, port):
        self.answers = iter(golden_answers())
        super().__init__(port, on_request=self._play, key=GOLDEN_KEY)

    def register(self):
        self.ws.send(golden_text("register"))
        self.ws.send(golden_text("heartbeat"))

    def challenge_response(self, m):
        return {**json.loads(golden_text("attestation_response")), "nonce": m["nonce"]}

    def _play(self, request):
        lines, end = next(self.answers)
        request.accept()
        for line in lines:
            request.line(line)
        self.send({**end, "request_id": request.id})


def test_a_recorded_provider_of_the_existing_system_serves_whole_and_streamed(open_coordinator):
    coordinator, client = open_coordinator()
    provider = GoldenProvider(coordinator.port)
    coordinator.wait_for_log(r"event=provider_trust .*reason=challenge_passed")
    body = {"model": GOLDEN_MODEL, "messages": messages("hello")}
    status, headers, whole = client.call(body)
    assert status == 200 and whole["choices"][0]["message"]["content"] == "Hello from sim", whole
    assert whole["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert whole["se_signature"] == "c2ln" and whole["response_hash"] == "0" * 64
    assert headers["X-Provider-Chip"] == "Apple M4 Max" and headers["X-Provider-Model"] == "Mac16,5"
    assert headers["X-Provider-Encrypted"] == "true" and headers["X-Provider-Trust-Level"] == "none"
    _, events = client.events({**body, "stream_options": {"include_usage": True}})
    assert text_of(events) == "Hello from sim"
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1
    assert events[-2]["receipt"]["cost_micro_usd"] == 100 and events[-2]["se_signature"] == "c2ln"
    assert [e["usage"]["total_tokens"] for e in events[:-1] if e.get("usage")] == [8]
    assert provider.cancels == [], "a finished request is not cancelled"
    sent = [r.body for r in provider.requests]
    assert [s["model"] for s in sent] == [GOLDEN_MODEL] * 2 and all(s["max_tokens"] > 0 for s in sent)
    provider.close()


@pytest.mark.parametrize("status_of", [rust_status, go_status])
def test_an_attested_provider_of_the_existing_system_is_self_signed(open_coordinator, tmp_path, status_of):
    coordinator, client = open_coordinator("--min-trust", "self_signed")
    provider = AttestedProvider(coordinator.port, p256.Key(tmp_path), status_of)
    coordinator.wait_for_log(r"event=provider_trust .*trust=self_signed.*reason=challenge_passed")
    status, headers, body = client.call({"model": "scripted-model", "messages": messages()})
    assert status == 200 and headers["X-Provider-Trust-Level"] == "self_signed", body
    assert headers["X-Provider-Attested"] == "true"
    assert headers["X-Attestation-Se-Public-Key"] == provider.signing_key.public
    assert "SER0TEST01" not in json.dumps(headers) + json.dumps(body), "a serial number is never published"
    provider.close()


def test_a_changed_blob_is_not_trusted(open_coordinator, tmp_path):
    coordinator, client = open_coordinator("--min-trust", "self_signed", "--queue-wait-ms", "100")
    provider = AttestedProvider(coordinator.port, p256.Key(tmp_path), lies={"osVersion": "99.0"})
    coordinator.wait_for_log(r"event=provider_trust .*reason=attestation_signature")
    status, _, body = client.call({"model": "scripted-model", "messages": messages()})
    assert status == 429, body
    provider.close()


# --- our provider at an existing coordinator -----------------------------------------------------------

NONCE = base64.b64encode(bytes(range(32))).decode()
STAMP = "2026-11-23T20:51:07Z"


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Our provider, registered at a coordinator like the existing one: (coordinator, provider)."""
    coordinator = ExistingCoordinator()
    provider = Provider(tmp_path_factory.mktemp("provider"), coordinator.port)
    provider.start(ready=r"event=link_connected")
    yield coordinator, provider
    provider.stop()
    coordinator.close()


def ask(text, tokens, **more):
    return {"max_tokens": tokens, "messages": messages(text), "model": MODEL_ID, "temperature": 0, **more}


def test_our_register_message_is_compact_and_its_statement_is_signed(ours):
    session = ours[0].session()
    register, text = session.register, session.register_text
    assert '": ' not in text and '", "' not in text, "installers parse compact JSON with sed"
    assert register["type"] == "register" and register["encrypted_response_chunks"] is True
    assert [m["id"] for m in register["models"]] == [MODEL_ID] and register["models"][0]["size_bytes"] > 10**7
    assert register["hardware"]["cpu_cores"]["total"] >= 1 and register["hardware"]["memory_gb"] >= 1
    flags = register["privacy_capabilities"]
    assert flags["text_backend_inprocess"] and flags["text_proxy_disabled"]
    blob, signature = register["attestation"]["attestation"], register["attestation"]["signature"]
    start = text.index('"attestation":{"attestation":') + len('"attestation":{"attestation":')
    signed = text[start:text.index(',"signature":', start)]
    assert json.loads(signed) == blob and list(blob) == sorted(blob)
    assert p256.verifies(blob["publicKey"], signed, signature)
    assert not p256.verifies(blob["publicKey"], signed.replace("osVersion", "osversion"), signature)
    assert blob["encryptionPublicKey"] == register["public_key"] and blob["secureEnclaveAvailable"] is False
    assert "serialNumber" not in blob


def test_our_answer_to_a_challenge_verifies_with_openssl(ours):
    session = ours[0].session()
    session.send({"type": "attestation_challenge", "nonce": NONCE, "timestamp": STAMP})
    answer = session.wait_for(lambda: session.of_type("attestation_response"), "the challenge is answered")[0]
    key = session.register["attestation"]["attestation"]["publicKey"]
    assert answer["nonce"] == NONCE and answer["public_key"] == session.register["public_key"]
    assert p256.verifies(key, NONCE + STAMP, answer["signature"])
    assert p256.verifies(key, rust_status(answer, STAMP), answer["status_signature"])
    assert answer["binary_hash"] == session.register["attestation"]["attestation"]["binaryHash"]


def test_our_stream_opens_with_an_independent_library_and_its_hash_is_signed(ours):
    session = ours[0].session()
    session.send({"type": "from_the_future", "anything": [1, 2]})
    session.send({"type": "runtime_status", "verified": False,
                  "mismatches": [{"component": "runtime", "expected": "a", "got": "b"}]})
    session.send({"type": "cancel", "request_id": "nobody"})
    session.request("stream-1", ask("What is the capital of France? Answer in one sentence.", 24, stream=True,
                                    stream_options={"include_usage": True}, some_later_field={"x": 1}))
    end = session.end_of("stream-1")
    assert end["type"] == "inference_complete", end
    lines = session.lines("stream-1")
    assert all(line.startswith("data: ") and "\n" not in line for line in lines) and lines[-1] == "data: [DONE]"
    events = [json.loads(line[6:]) for line in lines[:-1]]
    assert text_of(events) == "The capital of France is Paris."
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "stop"
    assert [e["usage"]["completion_tokens"] for e in events if e.get("usage")] == [end["usage"]["completion_tokens"]]
    accepted = session.of_type("inference_accepted", request_id="stream-1")
    assert len(accepted) == 1 and accepted[0]["prompt_tokens"] == end["usage"]["prompt_tokens"]
    hashed = f"stream-1:{end['usage']['completion_tokens']}:{text_of(events)}"
    assert end["response_hash"] == hashlib.sha256(hashed.encode()).hexdigest()
    key = session.register["attestation"]["attestation"]["publicKey"]
    assert p256.verifies(key, end["response_hash"], end["se_signature"])


def test_our_answer_in_one_piece_is_one_sealed_object(ours):
    session = ours[0].session()
    session.request("whole-1", ask("What is the capital of France? Answer in one sentence.", 24))
    end = session.end_of("whole-1")
    assert end["type"] == "inference_complete", end
    lines = session.lines("whole-1")
    assert len(lines) == 1 and lines[0].startswith("data: {")
    whole = json.loads(lines[0][6:])
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "The capital of France is Paris."}


def test_a_cancel_stops_our_generation_at_once(ours):
    coordinator, provider = ours
    session = coordinator.session()
    session.request("long-1", ask("Tell me a very long story.", 1500, stream=True))
    session.wait_for(lambda: len(session.of_type("inference_response_chunk", request_id="long-1")) >= 3, "it began")
    session.send({"type": "cancel", "request_id": "long-1"})
    done = provider.wait_for_log(r"event=job_done request=long-1 .*completion_tokens=(\d+) finish=cancelled")
    assert int(done.group(1)) < 200
    session.request("after-1", ask("Hi", 1))
    assert session.end_of("after-1")["type"] == "inference_complete"
    assert session.of_type("inference_complete", "inference_error", request_id="long-1") == []


@pytest.mark.parametrize("name, envelope", [
    ("foreign", {"ephemeral_public_key": NONCE, "ciphertext": "QUJD" * 30}),
    ("short", {"ephemeral_public_key": NONCE, "ciphertext": "QUJD"}),
    ("no-base64", {"ephemeral_public_key": NONCE, "ciphertext": "%%%"}),
    ("bad-key", {"ephemeral_public_key": "AAAA", "ciphertext": "QUJD" * 30}),
    ("no-envelope", None),
])
def test_a_request_that_does_not_open_is_refused_and_the_link_stays(ours, name, envelope):
    session = ours[0].session()
    message = {"type": "inference_request", "request_id": f"bad-{name}"}
    session.send({**message, "encrypted_body": envelope} if envelope else message)
    end = session.end_of(f"bad-{name}")
    assert end["type"] == "inference_error" and 400 <= end["status_code"] < 500, end
    assert session.closed is False


def test_our_provider_comes_back_after_the_coordinator_hangs_up(ours):
    coordinator, _ = ours
    first = coordinator.session()
    first.ws.close()
    second = coordinator.session(1)
    assert second.register["attestation"]["attestation"]["publicKey"] == \
        first.register["attestation"]["attestation"]["publicKey"], "the identity is persistent"
    second.request("again-1", ask("Hi", 2))
    assert second.end_of("again-1")["type"] == "inference_complete"
