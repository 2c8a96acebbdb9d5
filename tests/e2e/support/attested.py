# SPDX-License-Identifier: Apache-2.0
"""A scripted provider with a signing key: its blob and its challenge answers are signed by the openssl
command, in the forms that existing providers write. What a coordinator keeps by proven key it keeps of it."""

import json

from support.scripted import ScriptedProvider


def foundation(blob):
    """JSON as Apple's encoder writes it: compact, with the slash escaped."""
    return json.dumps(blob, separators=(",", ":")).replace("/", "\\/")


def rust_status(answer, timestamp):
    signed = {k: v for k, v in answer.items() if k not in ("type", "public_key", "signature", "status_signature")}
    return json.dumps({**signed, "timestamp": timestamp}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def go_status(answer, timestamp):
    text = rust_status(answer, timestamp)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class AttestedProvider(ScriptedProvider):
    """`signing_key`: a p256.Key. `lies` are members of the blob after it was signed."""

    def __init__(self, port, signing_key, status_of=None, lies=None, **more):
        self.signing_key, self.lies = signing_key, lies or {}
        self.status_of = status_of or rust_status
        super().__init__(port, **more)

    def register(self):
        blob = {"authenticatedRootEnabled": True, "chipName": "Apple <M4> & Max", "encryptionPublicKey": self.public,
                "hardwareModel": "Mac16,5", "osVersion": "15.4.0", "publicKey": self.signing_key.public,
                "rdmaDisabled": True, "secureBootEnabled": True, "secureEnclaveAvailable": True,
                "serialNumber": "SER0TEST01", "sipEnabled": True, "timestamp": "2026-11-23T20:51:36Z"}
        signature = self.signing_key.sign(foundation(blob))
        attestation = f'{{"attestation": {foundation({**blob, **self.lies})}, "signature": "{signature}"}}'
        self.ws.send(json.dumps(self.registration())[:-1] + f', "attestation": {attestation}}}')

    def challenge_response(self, m):
        answer = {**super().challenge_response(m), "binary_hash": "ab" * 32, "model_hashes": {"z": "1", "a<": "2"}}
        return {**answer, "signature": self.signing_key.sign(m["nonce"] + m["timestamp"]),
                "status_signature": self.signing_key.sign(self.status_of(answer, m["timestamp"]))}
