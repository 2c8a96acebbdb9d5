# SPDX-License-Identifier: Apache-2.0
"""Real requests to a real model through the whole path."""

import concurrent.futures
import json
import re

from support.http import messages, text_of
from support.programs import MODEL_ID

PARIS = "What is the capital of France? Answer in one sentence."
PROMPTS = ["Count from one to ten.", "Name three colours.", PARIS, "Write a short poem about the sea and the sky.",
           "What is two plus two?", "Tell me a story about a small robot who learns to paint.",
           "List the days of the week.", "Explain what a river is to a child."]


def ask(prompt, tokens=24, **more):
    return {"model": MODEL_ID, "messages": messages(prompt), "max_tokens": tokens, "temperature": 0, **more}


def test_an_answer_in_one_piece_has_usage_receipt_and_trust_headers(network):
    coordinator, _, client = network
    status, headers, body = client.call(ask(PARIS))
    assert status == 200
    assert body["object"] == "chat.completion" and body["id"].startswith("chatcmpl-")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "The capital of France is Paris."}
    assert body["choices"][0]["finish_reason"] == "stop"
    usage, receipt = body["usage"], body["receipt"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    price = usage["prompt_tokens"] * 50000 // 10**6 + usage["completion_tokens"] * 200000 // 10**6
    assert receipt["cost_micro_usd"] == max(100, price)
    assert receipt["trust_level"] == headers["X-Provider-Trust-Level"] == "self_signed"
    assert receipt["provider_id"] == headers["X-Provider-Id"]
    timing = json.loads(headers["X-Timing"])
    assert set(timing) == {"parse_us", "reserve_us", "route_us", "queue_us", "encrypt_us", "dispatch_us",
                           "provider_us"}
    assert all(isinstance(v, int) for v in timing.values()) and timing["provider_us"] > 0
    assert not [h for h in headers if "serial" in h.lower()]
    coordinator.wait_until_settled()


def test_a_stream_ends_with_usage_receipt_and_one_done(network):
    _, _, client = network
    _, events = client.events(ask(PARIS, stream_options={"include_usage": True}))
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1
    assert "receipt" in events[-2] and events[-2]["choices"] == []
    assert events[-3]["choices"] == [] and events[-3]["usage"]["completion_tokens"] > 0
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert text_of(events) == "The capital of France is Paris."
    assert [e["choices"][0]["finish_reason"] for e in events[:-3]][-1] == "stop"
    assert not any("usage" in e for e in events[:-3])


def test_the_output_limit_ends_an_answer_with_length(network):
    _, _, client = network
    status, _, body = client.call(ask("Write a long story.", tokens=5))
    assert status == 200 and body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5


def test_a_stop_string_ends_an_answer_and_is_not_in_it(network):
    _, _, client = network
    status, _, body = client.call(ask(PARIS, stop=[" is"]))
    assert status == 200 and body["choices"][0]["message"]["content"] == "The capital of France"


def test_the_same_seed_gives_the_same_answer_and_another_a_different_one(network):
    _, _, client = network
    texts = [client.call({**ask("Write a poem.", tokens=20), "temperature": 1, "top_p": 0.95, "seed": s})[2]
             ["choices"][0]["message"]["content"] for s in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


def test_a_prompt_longer_than_the_context_is_refused_with_its_limit(network):
    coordinator, _, client = network
    status, _, body = client.call(ask("word " * 4000))
    assert status == 400 and body["error"]["code"] == "context_length_exceeded", body
    assert re.search(r"has 40\d\d tokens, and the model's context holds 2048", body["error"]["message"])
    coordinator.wait_until_settled()


def test_what_the_engine_cannot_honour_is_refused_by_name(network):
    _, _, client = network
    status, _, body = client.call(ask("hi", tools=[{"type": "function", "function": {"name": "f"}}]))
    assert status == 400 and body["error"]["code"] == "unsupported_parameter", body
    assert body["error"]["param"] == "tools"


def test_a_long_prompt_comes_in_small_pieces_beside_a_stream_and_both_say_what_they_say_alone(network):
    """Alone it is computed in full chunks, beside a stream in as many tokens as keep a pass short: other
    pieces, the same bits."""
    _, _, client = network
    long, running = ask("Repeat the last word. " + "sea sky stone river " * 90, tokens=16), ask(PROMPTS[5], tokens=48)
    alone = [text_of(client.events(a)[1]) for a in (long, running)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        second = pool.submit(lambda: text_of(client.events(running)[1]))
        first = pool.submit(lambda: text_of(client.events(long)[1]))
        assert [first.result(), second.result()] == alone


def test_more_messages_than_any_context_holds_are_refused_at_once(network):
    coordinator, _, client = network
    status, _, body = client.call({**ask(""), "messages": messages("a") * 150000})
    assert status == 400 and body["error"]["code"] == "context_length_exceeded", body
    coordinator.wait_until_settled()


def test_an_image_is_refused_by_its_place(network):
    _, _, client = network
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    status, _, body = client.call({**ask(""), "messages": messages("hi") + messages(parts)})
    assert status == 400 and body["error"]["code"] == "unsupported_parameter", body
    assert body["error"]["param"] == "messages[1].content[1]"


def test_eight_streams_are_batched_and_each_says_what_it_says_alone(network):
    _, provider, client = network
    lengths = [8, 40, 24, 64, 16, 48, 32, 56]
    asks = [ask(p, n) for p, n in zip(PROMPTS, lengths)]
    alone = [text_of(client.events(a)[1]) for a in asks]
    provider.wait_for_log(r"event=engine_idle")
    passes_before, tokens_before = provider.counters()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda a: text_of(client.events(a)[1]), asks))
    assert together == alone

    def grown():
        passes, tokens = provider.counters()
        return (passes - passes_before, tokens - tokens_before) if tokens > tokens_before else None

    from support.programs import wait_until
    passes, tokens = wait_until(grown, "the provider says how many passes it took")
    assert passes * 2 < tokens, f"{passes} passes for {tokens} tokens"
