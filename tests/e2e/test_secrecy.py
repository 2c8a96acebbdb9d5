# SPDX-License-Identifier: Apache-2.0
"""Prompt and answer are nowhere in clear: not on the provider link, not in a log, not in the store."""

import socket
import threading

from support.http import Client, messages, text_of
from support.programs import MODEL_ID, Coordinator, Provider


class Tap:
    """A TCP relay that keeps what passes."""

    def __init__(self, port):
        self.target = port
        self.captured = bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.captured += data
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def unmasked(data):
    """The same bytes under each of the masks that stand in them would be unreadable to search; frames of
    the client are masked, so the capture is also searched frame by frame."""
    out, at = bytearray(), 0
    while at + 2 <= len(data):
        masked, n, head = data[at + 1] & 0x80, data[at + 1] & 0x7F, 2
        if n == 126:
            n, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
        elif n == 127:
            n, head = int.from_bytes(data[at + 2:at + 10], "big"), 10
        mask = data[at + head:at + head + 4] if masked else b"\0\0\0\0"
        head += 4 if masked else 0
        out += bytes(c ^ mask[i % 4] for i, c in enumerate(data[at + head:at + head + n]))
        at += head + n
    return bytes(out)


def test_prompt_and_answer_are_in_no_capture_log_or_store(tmp_path):
    canary = "zebra-quartz-7421-lighthouse"
    coordinator = Coordinator(tmp_path, "--min-trust", "self_signed", "--rate", "0", "--log-level", "debug").start()
    tap = Tap(coordinator.port)
    provider = Provider(tmp_path / "provider", tap.port, "[provider]", 'log_level = "debug"').start()
    client = Client(coordinator, coordinator.make_key())
    body = {"model": MODEL_ID, "temperature": 0, "max_tokens": 24,
            "messages": messages(f"Repeat after me: {canary}. What is the capital of France?")}
    status, _, answer = client.call(body)
    assert status == 200
    streamed = text_of(client.events(body)[1])
    assert streamed == answer["choices"][0]["message"]["content"] and len(streamed) > 12
    coordinator.wait_until_settled()
    provider.stop()
    coordinator.stop()

    captured = bytes(tap.captured)
    # Each direction is a stream of frames behind its HTTP head.
    frames = b"".join(unmasked(part) for part in captured.split(b"\r\n\r\n")[1:])
    assert b"inference_response_chunk" in captured + frames, "the tap saw no traffic"
    places = {"link": captured, "frames": frames}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes()
    words = [canary.encode(), streamed.encode(), streamed[:16].encode()]
    for name, data in places.items():
        for word in words:
            assert word not in data, f"{word!r} stands in {name}"
