# SPDX-License-Identifier: Apache-2.0
"""500 hostile sockets against a coordinator on this machine, beside one well-behaved stream. Prints how much
resident memory they cost the coordinator and how late the stream's chunks come, against the quiet part of the same
run. Not a test of `make test`: it measures, for 40 s. Exit status 1 where memory grows by more than 256 MiB, the
99th percentile of the delay by more than 3 times, or the stream breaks.

    scripts/hostile.sh, or: DARKBLOOM_BUILD_DIR=build/release deps/venv/bin/python tests/e2e/hostile.py
"""

import contextlib
import json
import multiprocessing
import os
import pathlib
import re
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.http import Client, messages  # noqa: E402
from support.programs import Coordinator, wait_until  # noqa: E402
from support.scripted import ScriptedProvider  # noqa: E402

SOCKETS = 500
QUIET_S, RAMP_S, HOSTILE_S = 10, 2, 15
PACE_S = 0.01  # between two chunks of the stream
LIMIT_MIB, LIMIT_TIMES = 256, 3
TOTAL_S = 60  # it ends by itself after that, whatever happened
MIB = 1 << 20


def run_as(policy, priority):
    """All but the coordinator stand for other machines. On this one they share its processors, so strangers get
    what is left, and the two ends of the stream theirs at once: what is measured is the coordinator, not who of
    three Python programs waits for whom. Without the right to it the stream's ends wait like anybody."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, policy, os.sched_param(priority))


# --- the hostile side: a process of its own, on whatever the rest leaves of the processor ------------------

HANDSHAKE = (b"GET /ws/provider HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
MASK = b"\0\0\0\0"
PING = b"\x89\xfd" + MASK + b"p" * 125
BIG_FRAME = b"\x81\xff" + (10 * MIB).to_bytes(8, "big") + MASK + b"{" + b" " * (10 * MIB - 1)
LOOK = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b'{"model":"scripted-model","messages":[{"role":"user","content":"' + b"x" * (6 * MIB - 100) + b'"}]}'
UNKNOWN_KEY = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-unknown-%d\r\n"
               b"Content-Type: application/json\r\nContent-Length: " + str(len(BODY)).encode() + b"\r\n\r\n")

# What each kind sends: once, then again and again; whether it reads.
KINDS = {
    "unregistered, pings without end": (HANDSHAKE, lambda n: PING * 500, False),
    "10 MiB frames announced": (HANDSHAKE, lambda n: BIG_FRAME, True),
    "never reads": (b"", lambda n: LOOK * 100, False),
    "pipelines": (b"", lambda n: LOOK * 1900, True),
    "unknown keys, 6 MiB bodies": (b"", lambda n: UNKNOWN_KEY % n + BODY, True),
}


class Attacker:
    """One socket of its kind; a new one whenever it was closed."""

    def __init__(self, kind, port, number):
        self.kind, self.port, self.number = kind, port, number
        self.connects = self.sent = 0
        self.socket = None
        self.not_before = 0

    def connect(self, selector):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind(("127.0.0.2", 0))  # another address than the well-behaved consumer's
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", self.port))
        self.connects += 1
        first, again, self.reads = KINDS[self.kind]
        self.again = again(self.number + 1000 * self.connects)
        self.out = memoryview(first or self.again)
        selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE if self.reads
                          else selectors.EVENT_WRITE, self)

    def lost(self, selector):
        selector.unregister(self.socket)
        self.socket.close()
        self.socket = None
        self.not_before = time.monotonic() + 0.2

    def turn(self, selector, events):
        try:
            if events & selectors.EVENT_READ and not self.socket.recv(65536):
                return self.lost(selector)
            if events & selectors.EVENT_WRITE:
                n = self.socket.send(self.out[:65536])
                self.sent += n
                self.out = self.out[n:] or memoryview(self.again)
        except BlockingIOError:
            pass
        except OSError:
            self.lost(selector)


def attack(port, stop, report):
    run_as(os.SCHED_IDLE, 0)
    selector = selectors.DefaultSelector()
    kinds = list(KINDS)
    attackers = [Attacker(kinds[i % len(kinds)], port, i) for i in range(SOCKETS)]
    while not stop.is_set():
        now = time.monotonic()
        for a in attackers:
            if a.socket is None and now >= a.not_before:
                a.connect(selector)
        for key, events in selector.select(0.1):
            key.data.turn(selector, events)
    report.send({k: {"connects": sum(a.connects for a in attackers if a.kind == k),
                     "sent_mib": sum(a.sent for a in attackers if a.kind == k) / MIB} for k in kinds})


# --- the well-behaved stream -------------------------------------------------------------------------------


class Stream:
    """A stream whose chunks carry the time at which their provider sent them."""

    def __init__(self, coordinator, client):
        self.over = threading.Event()
        self.delays_ms = []  # (arrival, delay)
        self.broken = None
        self.provider = ScriptedProvider(coordinator.port, on_request=self._answer)
        wait_until(lambda: "reason=challenge_passed" in coordinator.text(), "the provider may serve")
        self.connection, self.response = client.open(
            {"model": "scripted-model", "messages": messages(), "max_tokens": 100000, "stream": True})
        assert self.response.status == 200, self.response.read()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _answer(self, request):
        request.accept()
        due = time.monotonic()
        while not self.over.is_set() and not request.cancelled.is_set():
            request.chunk(f" {time.monotonic_ns()}")
            due += PACE_S
            time.sleep(max(0, due - time.monotonic()))
        request.chunk(finish="stop")
        request.complete(completion=len(self.delays_ms))

    def _read(self):
        try:
            for line in self.response:
                now = time.monotonic_ns()
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if "error" in event:
                        self.broken = event["error"]
                    sent = "".join(c["delta"].get("content") or "" for c in event.get("choices", [])).strip()
                    if sent:
                        self.delays_ms.append((now / 1e9, (now - int(sent)) / 1e6))
        except OSError as e:
            self.broken = str(e)
        if not self.over.is_set():
            self.broken = self.broken or "it ended early"

    def percentiles(self, since, until):
        d = sorted(ms for at, ms in self.delays_ms if since <= at < until)
        assert len(d) > 100, f"too few chunks came: {len(d)}"
        return d[len(d) // 2], d[int(len(d) * 0.99)]

    def end(self):
        self.over.set()
        self.thread.join(10)
        self.connection.close()
        self.provider.close()


def resident_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def watch_memory(pid, seconds):
    """The largest resident size in that time."""
    end = time.monotonic() + seconds
    most = 0
    while time.monotonic() < end:
        most = max(most, resident_mib(pid))
        time.sleep(0.05)
    return most


def measure(coordinator, client):
    run_as(os.SCHED_FIFO, 1)  # the threads of the stream inherit it
    stream = Stream(coordinator, client)
    stop, (report, reported) = multiprocessing.Event(), multiprocessing.Pipe(False)
    attacker = multiprocessing.Process(target=attack, args=(coordinator.port, stop, reported), daemon=True)
    try:
        time.sleep(1)
        quiet_from = time.monotonic()
        idle = watch_memory(coordinator.process.pid, QUIET_S)
        quiet = stream.percentiles(quiet_from, time.monotonic())
        attacker.start()
        most = watch_memory(coordinator.process.pid, RAMP_S)
        hostile_from = time.monotonic()
        most = max(most, watch_memory(coordinator.process.pid, HOSTILE_S))
        hostile = stream.percentiles(hostile_from, time.monotonic())
        stop.set()
        kinds = report.recv() if report.poll(10) else {}
    finally:
        stop.set()
        if attacker.is_alive():
            attacker.join(5)
            attacker.kill()
        stream.end()
    return {"idle_mib": idle, "above_idle_mib": most - idle, "quiet_p50_ms": quiet[0], "quiet_p99_ms": quiet[1],
            "hostile_p50_ms": hostile[0], "hostile_p99_ms": hostile[1], "times": hostile[1] / quiet[1],
            "broken": stream.broken, "kinds": kinds}


def main():
    signal.alarm(TOTAL_S)
    with tempfile.TemporaryDirectory() as directory:
        coordinator = Coordinator(directory, "--min-trust", "none", "--rate", "0").start()
        try:
            r = measure(coordinator, Client(coordinator, coordinator.make_key(credit="100")))
            coordinator.wait_until_settled()
        finally:
            coordinator.stop()
    for kind, seen in r["kinds"].items():
        print(f"{SOCKETS // len(KINDS)} sockets, {kind}: {seen['connects']} connections, {seen['sent_mib']:.0f} MiB taken")
    print(f"resident memory: {r['idle_mib']:.1f} MiB idle, {r['above_idle_mib']:.1f} MiB above it at most"
          f" (limit {LIMIT_MIB})")
    print(f"delay of a chunk, p50 / p99: quiet {r['quiet_p50_ms']:.2f} / {r['quiet_p99_ms']:.2f} ms, hostile"
          f" {r['hostile_p50_ms']:.2f} / {r['hostile_p99_ms']:.2f} ms: {r['times']:.2f} times (limit {LIMIT_TIMES})")
    if r["broken"]:
        print(f"the stream broke: {r['broken']}")
    return 1 if r["above_idle_mib"] > LIMIT_MIB or r["times"] > LIMIT_TIMES or r["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
