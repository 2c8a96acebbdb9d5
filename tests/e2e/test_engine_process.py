# SPDX-License-Identifier: Apache-2.0
"""The engine is a process of its own: it may be killed, or ended by a prompt, and the daemon goes on."""

import os
import pathlib
import random
import signal
import subprocess
import threading

import pytest
from support.existing_coordinator import ExistingCoordinator
from support.http import Client, messages
from support.programs import BUILD, MODEL, MODEL_ID, Coordinator, Provider, wait_until
from support.scripted import ScriptedProvider

BODY = {"model": MODEL_ID, "messages": messages("Tell me a long story."), "max_tokens": 150, "temperature": 0,
        "stream": True}
KILLS = 100
STREAMS = 3
SEED = 20261127
GROWTH_KIB = 24 << 10  # of the daemon over a hundred engines; one that leaked a request's body each time has more


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def engine_of(provider):
    """The process id of the provider's engine."""
    return wait_until(lambda: children(provider.process.pid), "an engine runs")[0]


def kill_engine(provider):
    pid = engine_of(provider)
    os.kill(pid, signal.SIGKILL)
    return pid


def loads(provider):
    return provider.text().count("event=model_loaded")


def make_provider(directory, port, *flags, model=None):
    provider = Provider(directory, port)
    if model:
        provider.config.write_text(provider.config.read_text().replace(str(MODEL), str(model)))
    provider.args += ["--numerics", "fast", "--restart-max-secs", "1", *flags]
    return provider


class Resources:
    """What the daemon holds."""

    def __init__(self, pid):
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        self.rss_kib = int(status.split("VmRSS:")[1].split()[0])
        self.children = len(children(pid))


@pytest.fixture
def alone(tmp_path):
    """A provider whose coordinator is the test: (provider, its session)."""
    coordinator = ExistingCoordinator()
    provider = make_provider(tmp_path / "provider", coordinator.port)
    provider.start(ready="event=started")
    session = coordinator.session()
    yield provider, session, coordinator
    provider.stop()
    coordinator.close()


def ask_and_kill(provider, session, number, chance):
    """Streams, of which some have shown text when the engine is killed; each must end."""
    ids = [f"r{number}-{i}" for i in range(STREAMS)]
    for i in ids:
        session.request(i, BODY)
    chunks = chance.randint(0, 12)
    session.wait_for(lambda: sum(len(session.of_type("inference_response_chunk", request_id=i)) for i in ids) >= chunks,
                     f"{chunks} chunks")
    kill_engine(provider)
    return [session.end_of(i) for i in ids]


def test_a_hundred_kills_under_load_leave_the_daemon_connected_and_nothing_behind(alone):
    provider, session, coordinator = alone
    chance = random.Random(SEED)
    session.request("first", {**BODY, "max_tokens": 4})
    assert session.end_of("first")["type"] == "inference_complete"
    before = Resources(provider.process.pid)
    for n in range(KILLS):
        for end in ask_and_kill(provider, session, n, chance):
            assert end["type"] == "inference_complete" or (end["code"], end["status_code"]) == ("engine_ended", 500), end
        wait_until(lambda n=n: loads(provider) >= n + 2, "the next engine is ready")
    session.request("last", {**BODY, "max_tokens": 4})
    assert session.end_of("last")["type"] == "inference_complete"
    after = Resources(provider.process.pid)
    assert not session.closed and len(coordinator.sessions) == 1
    assert provider.text().count("event=engine_ended how=SIGKILL") == KILLS
    assert (after.descriptors, after.children) == (before.descriptors, 1)
    assert after.rss_kib - before.rss_kib < GROWTH_KIB, (before.rss_kib, after.rss_kib)


def test_while_the_next_engine_loads_it_says_so_and_refuses_for_load(alone):
    provider, session, _ = alone
    beats = len(session.of_type("heartbeat"))
    kill_engine(provider)
    states = session.wait_for(lambda: [s["state"] for m in session.of_type("heartbeat")[beats:]
                                       for s in m["backend_capacity"]["slots"]], "a heartbeat tells of it")
    assert states[0] == "crashed"
    session.request("early", BODY)
    assert session.end_of("early")["code"] == "model_loading"
    session.wait_for(lambda: [s["state"] for m in session.of_type("heartbeat")[beats:]
                              for s in m["backend_capacity"]["slots"]][-1] == "running", "it serves again")


DEADLY = "endless"
TEMPLATE = ("{% macro again(n) %}{{ again(n) }}{% endmacro %}"
            "{% if messages[0].content == '" + DEADLY + "' %}{{ again(1) }}{% endif %}"
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def deadly_model(path):
    """The demo model under a template that, for one prompt, calls itself without end."""
    data = bytearray(MODEL.read_bytes())
    key = b"tokenizer.chat_template"
    at = data.index(key) + len(key) + 4
    size = int.from_bytes(data[at:at + 8], "little")
    template = TEMPLATE.encode()
    assert len(template) + 5 <= size
    data[at + 8:at + 8 + size] = template + b"{#" + b" " * (size - len(template) - 4) + b"#}"
    path.write_bytes(data)
    return path


def test_a_prompt_that_ends_the_engine_is_not_tried_again(tmp_path):
    coordinator = ExistingCoordinator()
    provider = make_provider(tmp_path / "provider", coordinator.port, model=deadly_model(tmp_path / "model.gguf"))
    provider.start(ready="event=started")
    session = coordinator.session()
    deadly = {**BODY, "messages": messages(DEADLY)}
    session.request("r1", deadly)
    assert session.end_of("r1")["code"] == "engine_ended"
    wait_until(lambda: loads(provider) == 2, "the next engine is ready")
    session.request("r2", deadly)
    refused = session.end_of("r2")
    assert (refused["status_code"], refused["code"], refused["param"]) == (422, "prompt_ends_engine", "messages")
    session.request("r3", {**BODY, "max_tokens": 4})
    assert session.end_of("r3")["type"] == "inference_complete"
    assert DEADLY not in provider.text()
    provider.stop()
    coordinator.close()


# --- with our coordinator ---


@pytest.fixture
def network(tmp_path):
    coordinator = Coordinator(tmp_path, "--min-trust", "none", "--rate", "0").start()
    provider = make_provider(tmp_path / "provider", coordinator.port).start()
    yield coordinator, provider, Client(coordinator, coordinator.make_key())
    provider.stop()
    coordinator.wait_until_settled()
    coordinator.stop()


def processor_ticks(provider):
    """What the engine has computed so far, in hundredths of a second."""
    fields = pathlib.Path(f"/proc/{engine_of(provider)}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_before_content_another_provider_answers(network):
    coordinator, provider, client = network
    answers, idle = [], processor_ticks(provider)
    long_prompt = messages(" ".join(f"word{i}" for i in range(500)))
    asking = threading.Thread(
        target=lambda: answers.append(client.call({**BODY, "stream": False, "messages": long_prompt})))
    asking.start()
    wait_until(lambda: processor_ticks(provider) > idle + 50, "the engine reads the prompt")
    other = ScriptedProvider(coordinator.port, model=MODEL_ID)
    assert other.trusted.wait(30)
    kill_engine(provider)
    asking.join(60)
    status, _, body = answers[0]
    assert status == 200, body
    assert body["choices"][0]["message"]["content"] == "Hello from script"


def test_after_content_the_stream_ends_with_an_error_event(network):
    _, provider, client = network
    connection, response = client.open({**BODY, "max_tokens": 1000})
    lines = []
    for line in response:
        lines.append(line)
        if len(lines) == 12:
            kill_engine(provider)
    connection.close()
    text = b"".join(lines).decode()
    assert '"error"' in text and "[DONE]" not in text
    assert "in the middle of its answer" in text


def test_by_hand_it_says_who_starts_it():
    done = subprocess.run([BUILD / "darkbloom-engine"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=30)
    assert done.returncode == 2
    assert "darkbloom serve" in done.stderr and done.stdout == ""


def test_the_engine_ends_with_its_daemon(tmp_path):
    coordinator = ExistingCoordinator()
    provider = make_provider(tmp_path / "provider", coordinator.port)
    provider.start(ready="event=started")
    coordinator.session()
    engine = engine_of(provider)
    provider.kill()
    wait_until(lambda: not pathlib.Path(f"/proc/{engine}").exists(), "the engine is gone")
    coordinator.close()


def test_the_kernel_says_that_the_engine_is_held(alone):
    provider, _, _ = alone
    engine = engine_of(provider)
    status = pathlib.Path(f"/proc/{engine}/status").read_text()
    for thread in os.listdir(f"/proc/{engine}/task"):
        status = pathlib.Path(f"/proc/{engine}/task/{thread}/status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert pathlib.Path(f"/proc/{engine}/oom_score_adj").read_text() == "900\n"
    environment = pathlib.Path(f"/proc/{engine}/environ").read_bytes()
    assert environment.rstrip(b"\0").split(b"\0") == [b"TZ=UTC", b"LC_ALL=C.UTF-8"]
    assert "sandbox=closed" in provider.text()


def test_the_log_names_the_coordinator_without_its_query(tmp_path):
    provider = make_provider(tmp_path / "provider", 1)
    provider.args += ["--coordinator", "ws://127.0.0.1:1/ws/provider?token=hidden"]
    provider.start(ready="event=link_lost|event=started")
    provider.stop()
    assert "coordinator=ws://127.0.0.1:1/ws/provider " in provider.text()
    assert "hidden" not in provider.text()
