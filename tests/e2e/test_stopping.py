# SPDX-License-Identifier: Apache-2.0
"""Signals: what runs is finished within its grace, what is asked twice ends at once, and the status says so."""

import json
import signal
import threading

from support.http import Client, messages, text_of
from support.programs import MODEL_ID, Coordinator, wait_until
from support.scripted import ScriptedProvider

BODY = {"model": "scripted-model", "messages": messages(), "stream": True}


def start(tmp_path, on_request=None):
    coordinator = Coordinator(tmp_path, "--min-trust", "none", "--rate", "0").start()
    provider = ScriptedProvider(coordinator.port, on_request=on_request)
    coordinator.wait_for_log(r"event=provider_trust .*reason=challenge_passed")
    return coordinator, Client(coordinator, coordinator.make_key()), provider


def payloads(lines):
    texts = [line[6:].strip().decode() for line in lines if line.startswith(b"data: ")]
    return [t if t == "[DONE]" else json.loads(t) for t in texts]


def test_a_stream_that_runs_is_finished_before_the_coordinator_ends(tmp_path):
    go_on = threading.Event()

    def script(r):
        r.accept()
        r.chunk("before")
        assert go_on.wait(30)
        r.chunk(" after")
        r.chunk(finish="stop")
        r.complete(completion=2)

    coordinator, client, _ = start(tmp_path, script)
    connection, response = client.open(BODY)
    lines = [response.readline()]
    coordinator.process.send_signal(signal.SIGTERM)
    coordinator.wait_for_log(r"event=stopping signal=15")
    go_on.set()
    lines += list(response)
    connection.close()
    events = payloads(lines)
    assert text_of(events) == "before after" and events[-1] == "[DONE]"
    assert events[-2]["receipt"]["cost_micro_usd"] == 100
    assert coordinator.process.wait(30) == 0
    coordinator.ledger_is_balanced()


def test_asked_twice_it_ends_at_once_and_settles_what_was_delivered(tmp_path):
    coordinator, client, _ = start(tmp_path, lambda r: (r.accept(), r.chunk("only this"), r.cancelled.wait(60)))
    connection, response = client.open(BODY)
    lines = [response.readline()]
    coordinator.process.send_signal(signal.SIGINT)
    coordinator.wait_for_log(r"event=stopping signal=2")
    coordinator.process.send_signal(signal.SIGINT)
    assert coordinator.process.wait(10) == 0
    try:
        lines += list(response)
    except OSError:
        pass  # the connection may end without the stream's last chunk
    connection.close()
    assert text_of(payloads(lines)) == "only this"
    coordinator.ledger_is_balanced()
    coordinator.start()
    coordinator.ledger_is_balanced()
    coordinator.stop()


def test_idle_programs_end_with_status_0_at_ctrl_c(tmp_path):
    coordinator, _, provider = start(tmp_path)
    coordinator.process.send_signal(signal.SIGINT)
    assert coordinator.process.wait(10) == 0
    assert provider.closed.wait(10), "its providers are told"


def test_a_provider_that_is_stopped_finishes_what_it_has_begun(network):
    coordinator, provider, client = network
    connection, response = client.open({"model": MODEL_ID, "messages": messages("Count from one to twenty."),
                                        "max_tokens": 48, "temperature": 0, "stream": True})
    lines = [response.readline()]
    provider.process.send_signal(signal.SIGTERM)
    lines += list(response)
    connection.close()
    events = payloads(lines)
    assert events[-1] == "[DONE]" and "receipt" in events[-2] and not [e for e in events[:-1] if "error" in e]
    assert wait_until(lambda: provider.process.poll() is not None, "it ends") and provider.process.returncode == 0
    coordinator.wait_until_settled()


def test_a_taken_port_is_said_in_a_sentence(tmp_path):
    first = Coordinator(tmp_path, "--min-trust", "none").start()
    (tmp_path / "second").mkdir()
    second = Coordinator(tmp_path / "second", "--min-trust", "none")
    second.port = first.port
    try:
        second.start()
        raise RuntimeError("the second coordinator took the same port")
    except AssertionError:
        assert second.process.returncode == 1
        assert str(first.port) in second.text() and "Traceback" not in second.text()
    first.stop()
