# SPDX-License-Identifier: Apache-2.0
"""What was seen to fail on the first state, repeated by providers that were written from the wire format alone,
each beside a healthy one: findings R1 to R6 and R18. Every limit is set short, so that all of it takes seconds."""

import concurrent.futures
import json
import re
import threading
import time

import pytest
from support import manners, p256
from support.attested import AttestedProvider
from support.http import Client, messages, text_of
from support.programs import Coordinator, wait_until
from support.scripted import ScriptedProvider

BODY = {"model": "scripted-model", "messages": messages("A question of some length. " * 20), "max_tokens": 100}
SHORT = ["--accept-timeout-ms", "700", "--first-token-timeout-ms", "700", "--token-gap-timeout-ms", "1000",
         "--first-content-ms", "3000", "--queue-wait-ms", "1500", "--stall-timeout-ms", "1500"]


class World:
    """A coordinator and the providers beside it."""

    def __init__(self, coordinator, client):
        self.coordinator, self.client, self.providers = coordinator, client, []

    def add(self, on_request=None, cls=ScriptedProvider, wait=True, **more):
        provider = cls(self.coordinator.port, on_request=on_request or (lambda r: r.answer("fine")), **more)
        self.providers.append(provider)
        if wait:
            self.wait_for_trust()
        return provider

    def passed(self):
        return self.coordinator.text().count("reason=challenge_passed")

    def wait_for_trust(self, n=None):
        n = len(self.providers) if n is None else n
        wait_until(lambda: self.passed() >= n, f"{n} providers may serve")

    def ask(self, body=None, **more):
        return self.client.call({**BODY, **(body or {})}, **more)

    def ask_many(self, n, at_once, body=None):
        """The answers' statuses, of n requests of which so many run at any time."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return [r[0] for r in pool.map(lambda _: self.ask(body), range(n))]

    def cost_of_all(self):
        self.coordinator.wait_until_settled()
        return [int(c) for c in re.findall(r"event=request_done .*?cost_micro_usd=(\d+)", self.coordinator.text())]


@pytest.fixture
def world(open_coordinator):
    w = World(*open_coordinator(*SHORT))
    yield w
    for p in w.providers:
        p.close()


def is_fine(body):
    return body["choices"][0]["message"]["content"] == "fine"


# --- R1: only 400, 413 and 422 about the request itself are final -----------------------------------------


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500])
def test_r1_a_provider_that_refuses_everything_costs_nobody_beside_a_healthy_one_an_answer(world, status):
    bad = world.add(manners.refuses(status))
    world.add(cpu_usage=1.0)  # busier, so that the other one is asked first
    for _ in range(20):
        answered, _, body = world.ask()
        assert answered == 200 and is_fine(body), body
    assert 1 <= len(bad.requests) <= 10
    assert world.cost_of_all() == [world.cost_of_all()[0]] * 20, "a refused attempt costs nothing"


@pytest.mark.parametrize("status", [400, 401, 402, 413, 418, 422, 429, 500, 503])
def test_r1_a_providers_prose_reaches_neither_consumer_nor_log(world, status):
    world.add(manners.refuses(status, code=manners.PROSE, param=manners.PROSE))
    answered, _, body = world.ask()
    assert answered >= 400 and "SECRET-PROSE" not in json.dumps(body), body
    assert answered == (status if status in (400, 413, 422) else 429 if status in (429, 503) else 502), body
    assert "SECRET-PROSE" not in world.coordinator.text()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_r1_what_is_wrong_with_the_request_itself_is_said_once_and_blames_nobody(world, status):
    both = [world.add(manners.refuses(status)) for _ in range(2)]
    for n in range(1, 5):
        assert world.ask()[0] == status
        assert len(both[0].requests) + len(both[1].requests) == n, "tried once"
    assert world.cost_of_all() == [0] * 4


# --- R2: nothing delivered costs nothing -------------------------------------------------------------------


def test_r2_an_empty_answer_with_a_huge_usage_is_retried_and_costs_nothing(world):
    empty = world.add(manners.completes_with_nothing(prompt_tokens=2**40, completion_tokens=2**40))
    world.add(cpu_usage=1.0)
    status, _, body = world.ask()
    assert status == 200 and is_fine(body) and len(empty.requests) == 1, body
    assert body["receipt"]["cost_micro_usd"] <= 200


def test_r2_an_empty_answer_alone_is_an_error_without_a_price_and_counts_as_a_failure(world):
    empty = world.add(manners.completes_with_nothing(prompt_tokens=2**40))
    for _ in range(6):
        status, _, body = world.ask()
        assert status >= 429 and "error" in body, body
    assert world.cost_of_all() == [0] * 6
    assert len(empty.requests) <= 10


# --- R3: limits to the first token and between tokens ------------------------------------------------------


@pytest.mark.parametrize("manner", [manners.says_nothing, manners.accepts_and_says_nothing])
def test_r3_a_provider_that_accepts_and_says_nothing_is_left_for_another_one(world, manner):
    silent = world.add(manner)
    world.add(cpu_usage=1.0)
    start = time.monotonic()
    status, _, body = world.ask()
    assert status == 200 and is_fine(body) and len(silent.requests) == 1, body
    assert time.monotonic() - start < 2.5, "content within the limit to the first token and a bit"
    silent.wait_for(lambda: silent.cancels == [silent.requests[0].id], "and it is told to stop")


def test_r3_a_provider_that_says_nothing_alone_ends_before_the_consumers_patience(world):
    world.add(manners.accepts_and_says_nothing)
    start = time.monotonic()
    status, _, body = world.ask()
    assert status in (429, 502, 504) and "error" in body, body
    assert time.monotonic() - start < 5
    assert world.cost_of_all() == [0]


def test_r3_a_stream_that_stops_after_one_chunk_ends_at_the_limit_between_tokens_and_costs_that_chunk(world):
    stuck = world.add(manners.stops_after_one_chunk)
    start = time.monotonic()
    _, events = world.client.events(BODY)
    assert time.monotonic() - start < 4
    assert text_of(events) == "one"
    assert [e for e in events if isinstance(e, dict) and "error" in e], events
    stuck.wait_for(lambda: stuck.cancels, "and it is told to stop")
    assert len(world.cost_of_all()) == 1 and world.cost_of_all()[0] > 0


def test_r3_a_slow_answer_that_goes_on_is_not_cut(world):
    texts = ["a", "b", "c", "d", "e"]
    world.add(manners.answers_slowly(0.6, *texts))  # 3 s in all, each pause under the limit of 1 s
    _, events = world.client.events(BODY)
    assert text_of(events) == "".join(texts) and not [e for e in events if isinstance(e, dict) and "error" in e]


# --- R4: want of capacity is 429 with Retry-After ----------------------------------------------------------


def test_r4_when_every_provider_has_no_capacity_the_consumer_reads_429_and_when_to_come_back(world):
    for _ in range(2):
        world.add(manners.has_no_capacity)
    status, headers, body = world.ask()
    assert status == 429 and int(headers["Retry-After"]) >= 1, (headers, body)
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert world.cost_of_all() == [0]


# --- R5: missed challenges heal on the same socket ---------------------------------------------------------


def test_r5_a_provider_that_missed_challenges_serves_again_on_the_same_socket(tmp_path):
    config = tmp_path / "coordinator.toml"
    config.write_text("[providers]\nchallenge_interval_ms = 300\nchallenge_timeout_ms = 200\nchallenge_retry_ms = 200\n")
    coordinator = Coordinator(tmp_path, "--config", config, "--min-trust", "none", "--rate", "0", *SHORT).start()
    world = World(coordinator, Client(coordinator, coordinator.make_key()))
    ill = world.add(wait=False, misses=4)
    ill.wait_for(lambda: len(ill.challenges) >= 4, "challenges go on after three were missed", 10)
    ill.wait_for(lambda: len(ill.challenges) >= 5, "and on", 10)
    wait_until(lambda: world.ask()[0] == 200, "it serves again", 20)
    assert ill.requests and not ill.closed.is_set()
    ill.close()
    coordinator.wait_until_settled()
    coordinator.stop()


# --- R6: who has failed gets no work while its back-off runs -----------------------------------------------


def test_r6_one_that_fails_everything_beside_two_that_are_full_gets_ten_requests_at_most(open_coordinator, tmp_path):
    coordinator, client = open_coordinator(*SHORT[:-4], "--queue-wait-ms", "20000", "--first-content-ms", "30000")
    world = World(coordinator, client)
    key = p256.Key(tmp_path)
    broken = world.add(manners.refuses(500), cls=AttestedProvider, signing_key=key, slots=4)
    for _ in range(2):
        world.add(manners.answers_slowly(0.02, "fine"), slots=2)
    assert world.ask_many(100, 12) == [200] * 100
    assert 1 <= len(broken.requests) <= 10, len(broken.requests)
    # Neither a new socket nor a new session key makes it another one (FR-1).
    broken.close()
    world.providers.remove(broken)
    again = world.add(manners.refuses(500), cls=AttestedProvider, signing_key=key, slots=4, wait=False)
    world.wait_for_trust(4)
    assert world.ask_many(50, 12) == [200] * 50
    assert len(broken.requests) + len(again.requests) <= 10, (len(broken.requests), len(again.requests))
    for p in world.providers:
        p.close()


def test_r6_what_is_known_of_a_key_survives_the_coordinator_too(tmp_path):
    coordinator = Coordinator(tmp_path, "--min-trust", "none", "--rate", "0", *SHORT).start()
    world = World(coordinator, Client(coordinator, coordinator.make_key()))
    key = p256.Key(tmp_path)
    broken = world.add(manners.refuses(500), cls=AttestedProvider, signing_key=key, slots=4)
    world.add(slots=4)
    assert world.ask_many(40, 8) == [200] * 40
    n = len(broken.requests)
    assert 1 <= n <= 10
    for p in world.providers:
        p.close()
    coordinator.wait_until_settled()
    coordinator.stop()
    coordinator.start()
    world.providers = []
    again = world.add(manners.refuses(500), cls=AttestedProvider, signing_key=key, slots=4)
    world.add(slots=4)
    assert world.ask_many(40, 8) == [200] * 40
    assert len(again.requests) <= 2, (n, len(again.requests))  # a probe where a back-off is over
    for p in world.providers:
        p.close()
    coordinator.wait_until_settled()
    coordinator.stop()


# --- R18: as the OpenAI API --------------------------------------------------------------------------------


def test_r18_an_assistant_message_without_content_or_tool_calls_is_taken(world):
    provider = world.add()
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}, {"role": "user", "content": "b"}]
    status, _, body = world.ask({"messages": talk})
    assert status == 200 and is_fine(body), body
    assert [m["role"] for m in provider.requests[0].body["messages"]] == ["user", "assistant", "user"]


def test_r18_one_model_can_be_looked_up_by_its_id(world):
    world.add(models=["org/some-model", "scripted-model"])
    for model in ("scripted-model", "org/some-model"):
        status, _, body = world.client.call(None, path=f"/v1/models/{model}", method="GET")
        assert status == 200 and body["id"] == model and body["object"] == "model", body
    status, _, body = world.client.call(None, path="/v1/models/no-such-model", method="GET")
    assert status == 404 and body["error"]["code"] == "model_not_found", body


# --- what behaved as it should, kept -----------------------------------------------------------------------


def test_a_provider_that_dies_after_the_role_is_replaced_unseen(world):
    dying = world.add(manners.dies_after_the_role)
    world.add(cpu_usage=1.0)
    _, events = world.client.events(BODY)
    assert text_of(events) == "fine" and events[-1] == "[DONE]" and events.count("[DONE]") == 1
    assert len(dying.requests) == 1 and not [e for e in events if isinstance(e, dict) and "error" in e]


def test_inflated_counts_are_cut_to_what_was_asked_for(world):
    world.add(manners.claims(2**62, 2**62))
    status, _, body = world.ask({"max_tokens": 10})
    assert status == 200 and body["usage"]["completion_tokens"] <= 10, body
    prompt_bytes = len(json.dumps(BODY["messages"]))
    assert body["usage"]["prompt_tokens"] <= 2 * prompt_bytes
    cost = body["receipt"]["cost_micro_usd"]
    assert cost == world.cost_of_all()[0] <= 10**4


def test_negative_counts_pay_nobody_backwards(world):
    world.add(manners.claims(-5, -2**63))
    status, _, body = world.ask()
    assert status == 200 and body["usage"]["completion_tokens"] >= 0 and body["usage"]["prompt_tokens"] >= 0, body
    assert world.cost_of_all()[0] >= 0


def test_chunks_after_completion_change_nothing(world):
    done = threading.Event()
    world.add(lambda r: (manners.goes_on_after_completion(r), done.set()))
    status, _, body = world.ask()
    assert status == 200 and body["choices"][0]["message"]["content"] == "one two", body
    assert done.wait(10)
    status, _, again = world.ask()
    assert status == 200 and again["receipt"]["cost_micro_usd"] == body["receipt"]["cost_micro_usd"], again


@pytest.mark.parametrize("manner", [manners.seals_to_a_foreign_key, manners.sends_plaintext, manners.sends_garbage])
def test_a_chunk_that_is_not_sealed_to_this_session_costs_its_sender_the_trust_and_the_consumer_nothing(world, manner):
    liar = world.add(manner)
    world.add(cpu_usage=1.0)
    status, _, body = world.ask()
    assert status == 200 and is_fine(body), body
    world.coordinator.wait_for_log(r"event=provider_trust .*trust=untrusted")
    assert world.ask_many(5, 1) == [200] * 5 and len(liar.requests) == 1
