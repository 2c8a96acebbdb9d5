# SPDX-License-Identifier: Apache-2.0
"""How a scripted provider may treat a request: for ScriptedProvider(on_request=...). Each is a function of the
request, or makes one."""

import base64
import json

from nacl.public import PrivateKey
from support.scripted import chunk

# Stands in for a part of a prompt in a provider's prose: it must reach nobody.
PROSE = "the patient said SECRET-PROSE"


def refuses(status, text=PROSE, **more):
    """Answers every request with that status; `more`: code, param."""
    return lambda r: r.error(text, status, **more)


def has_no_capacity(r):
    r.error("no capacity", 503, code="no_capacity")


def completes_with_nothing(prompt_tokens=2**31, completion_tokens=0):
    return lambda r: (r.accept(), r.complete(prompt_tokens, completion_tokens))


def accepts_and_says_nothing(r):
    r.accept()
    r.cancelled.wait(120)


def says_nothing(r):
    r.cancelled.wait(120)


def stops_after_one_chunk(r):
    r.accept()
    r.chunk("one")
    r.cancelled.wait(120)


def dies_after_the_role(r):
    r.accept()
    r.line("data: " + json.dumps({**chunk(), "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""},
                                                          "finish_reason": None}]}))
    r.provider.drop()


def claims(prompt_tokens, completion_tokens, *texts):
    """A good answer with such a usage, and with as many tokens to each chunk."""
    def answer(r):
        r.accept(prompt_tokens=prompt_tokens)
        for text in texts or ("one", " two"):
            r.line("data: " + json.dumps(chunk(text)), tokens=completion_tokens)
        r.chunk(finish="stop")
        r.complete(prompt_tokens, completion_tokens)
    return answer


def goes_on_after_completion(r):
    r.answer("one", " two")
    for _ in range(20):
        r.chunk(" more")
    r.complete(10**6, 10**6)


def seals_to_a_foreign_key(r):
    r.accept()
    foreign = base64.b64encode(bytes(PrivateKey.generate().public_key)).decode()
    r.provider.send({"type": "inference_response_chunk", "request_id": r.id,
                     "encrypted_data": {"ephemeral_public_key": foreign,
                                        "ciphertext": r.seal("data: " + json.dumps(chunk("x")))}})


def sends_plaintext(r):
    r.accept()
    r.provider.send({"type": "inference_response_chunk", "request_id": r.id,
                     "data": "data: " + json.dumps(chunk("clear"))})


def sends_garbage(r):
    r.accept()
    r.provider.send({"type": "inference_response_chunk", "request_id": r.id,
                     "encrypted_data": {"ephemeral_public_key": r.provider.public, "ciphertext": "QUJD" * 30}})


def answers_slowly(gap_s, *texts):
    """One text after another with a pause before each; stops when it is cancelled."""
    def answer(r):
        r.accept()
        for text in texts:
            if r.cancelled.wait(gap_s):
                return
            r.chunk(text)
        r.chunk(finish="stop")
        r.line("data: [DONE]")
        r.complete(completion=len(texts))
    return answer
