# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of running streams: after the restart the ledger balances and no hold is open."""

import random
import threading

import pytest
from support.http import Client, messages
from support.programs import MODEL_ID, Coordinator, Provider, wait_until

BODY = {"model": MODEL_ID, "messages": messages("Tell me a long story."), "max_tokens": 200, "temperature": 0}
SEED = 20261123
SERVED_IN_ROW = 8  # after which a provider's failures no longer lengthen its back-off (registry/breaker.c)


@pytest.fixture
def network(tmp_path):
    coordinator = Coordinator(tmp_path, "--min-trust", "self_signed", "--rate", "0").start()
    provider = Provider(tmp_path / "provider", coordinator.port).start()
    client = Client(coordinator, coordinator.make_key())
    yield coordinator, provider, client
    provider.stop()
    coordinator.stop()


def stream_until_it_breaks(client, lines, counter):
    try:
        connection, response = client.open({**BODY, "stream": True})
        for _ in response:
            with counter:
                lines.append(1)
                counter.notify_all()
        connection.close()
    except OSError:
        pass
    except Exception:  # http.client's many ways to say that the peer is gone
        pass
    with counter:
        lines.append(None)
        counter.notify_all()


def run_streams(client, n, after_lines):
    """Start streams and return when together they have read that many lines, and what to join."""
    lines, counter = [], threading.Condition()
    threads = [threading.Thread(target=stream_until_it_breaks, args=(client, lines, counter), daemon=True)
               for _ in range(n)]
    for t in threads:
        t.start()
    with counter:
        assert counter.wait_for(lambda: len(lines) >= after_lines, 60)
    return threads


def serve_until_it_is_trusted_again(client):
    """A killed provider has failed what ran there. It is tried after some seconds, and what it then serves counts."""
    for _ in range(SERVED_IN_ROW):
        wait_until(lambda: client.call({**BODY, "max_tokens": 1})[0] == 200, "the provider serves again")


@pytest.mark.parametrize("victim", ["coordinator", "provider"])
def test_ten_kills_in_mid_stream_leave_the_ledger_balanced(network, victim):
    coordinator, provider, client = network
    random.seed(SEED)
    for round_number in range(10):
        threads = run_streams(client, 3, random.randint(1, 60))
        if victim == "coordinator":
            seen = provider.text().count("event=challenge_answered")
            coordinator.kill()
            for t in threads:
                t.join(30)
            coordinator.start()
            wait_until(lambda: provider.text().count("event=challenge_answered") > seen, "it reconnects")
        else:
            provider.kill()
            for t in threads:
                t.join(30)
            provider.start()
            serve_until_it_is_trusted_again(client)
        coordinator.wait_until_settled()
    status, _, body = client.call({**BODY, "max_tokens": 4})
    assert status == 200, body
    coordinator.wait_until_settled()
