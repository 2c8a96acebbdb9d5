# SPDX-License-Identifier: Apache-2.0
"""Four event loops in one coordinator: whoever connects where, answers, money, models and metrics are those of one."""

import contextlib
import re
import signal
import sqlite3
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.http import Client, messages, text_of
from support.manners import answers_slowly
from support.programs import Coordinator, wait_until
from support.scripted import ScriptedProvider

LOOPS, CONSUMERS, EACH = 4, 32, 4
MODELS = ["everywhere", "everywhere", "everywhere", "everywhere", "rare-a", "rare-b"]


def body(model, **more):
    return {"model": model, "messages": messages(), **more}


class Fleet:
    """A coordinator with four loops, and providers that its loops share among them."""

    def __init__(self, directory, loop, on_request=None):
        self.config = directory / "coordinator.toml"
        self.config.write_text('[routing]\nmin_trust = "none"\n')
        self.coordinator = Coordinator(directory, "--config", self.config, "--rate", "0", "--loop", loop, "--loops",
                                       LOOPS, "--metrics", "127.0.0.1:0").start()
        started = re.search(r"event=started .*metrics_port=(\d+) loops=(\d+)", self.coordinator.text())
        assert int(started.group(2)) == LOOPS
        self.metrics_port = int(started.group(1))
        self.client = Client(self.coordinator, self.coordinator.make_key())
        self.providers = [ScriptedProvider(self.coordinator.port, model=m, on_request=on_request, slots=16)
                          for m in MODELS]
        self.wait_for_providers()

    def metric(self, name):
        """The sum over all labels; None: it is not shown."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as r:
            values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", r.read().decode(), re.M)
        return sum(map(float, values)) if values else None

    def wait_for_providers(self):
        wait_until(lambda: self.metric("darkbloom_providers_routable") == len(MODELS), "all may be asked")

    def stop(self):
        self.coordinator.wait_until_settled()
        self.coordinator.stop()

    def balance_of(self, account):
        with contextlib.closing(sqlite3.connect(f"file:{self.coordinator.store}?mode=ro", uri=True)) as db:
            return db.execute("SELECT balance FROM accounts WHERE name = ?", (account,)).fetchone()[0]


@pytest.fixture(params=["uv", "epoll"])
def fleet(request, tmp_path):
    f = Fleet(tmp_path, request.param)
    yield f
    f.stop()


def in_parallel(n, what):
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(what, range(n)))


def test_every_consumer_gets_its_own_stream_whole_and_pays_for_it_once(fleet):
    def consume(n):
        seen = []
        for k in range(EACH):  # each on a connection of its own: on any of the loops
            _, events = fleet.client.events(body(MODELS[(n + k) % len(MODELS)]))
            receipt = next(e["receipt"] for e in events if isinstance(e, dict) and "receipt" in e)
            seen.append((text_of(events), events[-1], receipt["cost_micro_usd"], receipt["request_id"]))
        return seen

    answers = [a for seen in in_parallel(CONSUMERS, consume) for a in seen]
    assert {a[:2] for a in answers} == {("Hello from script", "[DONE]")}
    assert len({a[3] for a in answers}) == CONSUMERS * EACH, "a request is one, on whichever loops it was"
    report = fleet.coordinator.wait_until_settled()
    assert sum(len(p.requests) for p in fleet.providers) == CONSUMERS * EACH
    assert all(p.requests for p in fleet.providers), "each is reached from wherever the consumers are"
    assert fleet.metric("darkbloom_requests_total") == CONSUMERS * EACH
    assert not fleet.metric("darkbloom_requests_running")
    assert fleet.metric("darkbloom_providers_connected") == len(MODELS)
    spent = sum(a[2] for a in answers)
    assert spent > 0 and fleet.balance_of("tester") == 5_000_000 - spent, report


def test_whoever_asks_any_loop_hears_of_all_models_and_providers(fleet):
    def look(_):
        status, _, models = fleet.client.call(None, path="/v1/models", method="GET")
        assert status == 200
        return tuple(sorted((m["id"], m["metadata"]["provider_count"]) for m in models["data"]))

    assert set(in_parallel(16, look)) == {(("everywhere", 4), ("rare-a", 1), ("rare-b", 1))}


def test_who_leaves_has_it_cancelled_wherever_it_runs(tmp_path):
    fleet = Fleet(tmp_path, "uv", lambda r: (r.accept(), r.chunk("only this"), r.cancelled.wait(60)))

    def leave(n):
        connection, response = fleet.client.open(body(MODELS[n % len(MODELS)], stream=True))
        assert b"only this" in response.readline()
        response.close()
        connection.close()

    in_parallel(24, leave)
    wait_until(lambda: sum(len(p.cancels) for p in fleet.providers) == 24, "each is cancelled")
    wait_until(lambda: not fleet.metric("darkbloom_requests_running"), "nothing runs")
    fleet.stop()


def test_new_settings_count_on_every_loop(fleet):
    fleet.config.write_text('[routing]\nmin_trust = "hardware"\n')
    fleet.coordinator.process.send_signal(signal.SIGHUP)
    fleet.coordinator.wait_for_log(r"event=reloaded result=all")
    assert fleet.metric("darkbloom_providers_routable") == 0
    fleet.config.write_text('[routing]\nmin_trust = "none"\n[server]\nloops = 2\n')
    fleet.coordinator.process.send_signal(signal.SIGHUP)
    fleet.wait_for_providers()
    statuses = in_parallel(16, lambda n: fleet.client.call(body(MODELS[n % len(MODELS)]))[0])
    assert set(statuses) == {200}


def test_it_ends_when_the_last_stream_of_any_loop_has_ended(tmp_path):
    go_on = threading.Event()

    def script(r):
        r.accept()
        r.chunk("before")
        assert go_on.wait(60)
        answers_slowly(0, " after")(r)

    fleet = Fleet(tmp_path, "uv", script)
    begun = threading.Barrier(CONSUMERS + 1)

    def consume(n):
        connection, response = fleet.client.open(body(MODELS[n % len(MODELS)], stream=True))
        lines = [response.readline()]
        begun.wait(60)
        lines += list(response)
        connection.close()
        return b"".join(lines)

    with ThreadPoolExecutor(CONSUMERS) as pool:
        streams = [pool.submit(consume, n) for n in range(CONSUMERS)]
        begun.wait(60)
        fleet.coordinator.process.send_signal(signal.SIGTERM)
        fleet.coordinator.wait_for_log(rf"event=stopping signal=15 requests={CONSUMERS}\b")
        assert {s for s in in_parallel(8, lambda n: fleet.client.call(body(MODELS[n % len(MODELS)]))[0])} == {503}
        go_on.set()
        texts = [s.result() for s in streams]
    assert all(b" after" in t and t.endswith(b"data: [DONE]\n\n") for t in texts)
    assert fleet.coordinator.process.wait(30) == 0
    assert all(p.closed.wait(10) for p in fleet.providers), "each provider is told, on whichever loop it is"
    fleet.coordinator.ledger_is_balanced()


def test_cut_in_the_middle_every_hold_is_resolved(tmp_path):
    fleet = Fleet(tmp_path, "uv", lambda r: (r.accept(), r.chunk("only this"), r.cancelled.wait(60)))
    streams = [fleet.client.open(body(MODELS[n % len(MODELS)], stream=True)) for n in range(12)]
    for _, response in streams:
        assert b"only this" in response.readline()
    for _ in range(2):  # asked twice it ends at once
        fleet.coordinator.process.send_signal(signal.SIGINT)
        fleet.coordinator.wait_for_log(r"event=stopping signal=2")
    assert fleet.coordinator.process.wait(30) == 0
    for connection, _ in streams:
        connection.close()
    fleet.coordinator.ledger_is_balanced()


def test_a_taken_port_is_refused_although_loops_could_share_it(tmp_path):
    first = Coordinator(tmp_path, "--min-trust", "none", "--loops", "2").start()
    (tmp_path / "second").mkdir()
    second = Coordinator(tmp_path / "second", "--min-trust", "none", "--loops", "2")
    second.port = first.port
    with pytest.raises(AssertionError):
        second.start()
    assert second.process.returncode == 1 and str(first.port) in second.text()
    first.stop()
