# SPDX-License-Identifier: Apache-2.0
"""TLS on the coordinator's own port: Python's ssl as client, for consumers and providers, and certificates that
change while a stream goes on."""

import signal
import socket
import ssl
import subprocess
import threading
import urllib.request

import pytest
from support.http import Client, messages, text_of
from support.programs import BUILD, MODEL_ID, Coordinator, Provider
from support.scripted import ScriptedProvider
from test_stopping import payloads

BODY = {"model": "scripted-model", "messages": messages(), "stream": True}


class Certificate:
    """Self-signed, in two files; renewed in place, as a certificate's client does."""

    def __init__(self, directory):
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        self.renew()

    def renew(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        self.key.chmod(0o600)

    def trusted(self):
        """A client that trusts this one alone, as it is now."""
        context = ssl.create_default_context(cadata=self.cert.read_text())
        context.set_alpn_protocols(["http/1.1"])
        return context


@pytest.fixture
def certificate(tmp_path):
    return Certificate(tmp_path)


@pytest.fixture(params=["uv", "epoll"])
def coordinator(request, tmp_path, certificate):
    c = Coordinator(tmp_path, "--min-trust", "none", "--rate", "0", "--tls-cert", certificate.cert,
                    "--tls-key", certificate.key, "--metrics", "127.0.0.1:0", "--loop", request.param).start()
    yield c
    c.stop()


def reload(coordinator, until):
    coordinator.process.send_signal(signal.SIGHUP)
    coordinator.wait_for_log(until)


def test_a_stream_goes_on_while_the_certificate_changes(coordinator, certificate):
    go_on = threading.Event()

    def script(r):
        r.accept()
        r.chunk("before")
        assert go_on.wait(30)
        for _ in range(200):
            r.chunk(" after")
        r.chunk(finish="stop")
        r.complete(completion=201)

    old = certificate.trusted()
    provider = ScriptedProvider(coordinator.port, on_request=script, tls=old)
    coordinator.wait_for_log(r"event=provider_trust .*reason=challenge_passed")
    key = coordinator.make_key()
    connection, response = Client(coordinator, key, old).open(BODY)
    assert response.status == 200 and connection.sock.version() == "TLSv1.3"
    assert connection.sock.selected_alpn_protocol() == "http/1.1"
    lines = [response.readline()]
    certificate.renew()
    reload(coordinator, r"event=reloaded result=all")
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(coordinator, key, old).call(None, path="/v1/models", method="GET")
    status, _, models = Client(coordinator, key, certificate.trusted()).call(None, path="/v1/models", method="GET")
    assert status == 200 and [m["id"] for m in models["data"]] == ["scripted-model"]
    go_on.set()
    lines += list(response)
    connection.close()
    events = payloads(lines)
    assert text_of(events) == "before" + 200 * " after" and events[-1] == "[DONE]"
    provider.close()
    coordinator.wait_until_settled()


def test_a_certificate_that_cannot_be_used_leaves_the_old_one(coordinator, certificate):
    old = certificate.trusted()
    certificate.key.chmod(0o644)
    reload(coordinator, r"event=reload_refused .*server.tls_key: others may use the file")
    certificate.renew()
    certificate.key.write_text("nonsense\n")
    reload(coordinator, r"event=reload_refused .*server.tls_key: .* is no private key")
    status, _, _ = Client(coordinator, "none", old).call(None, path="/health", method="GET")
    assert status == 200


def test_who_speaks_plain_http_is_told_and_let_go(coordinator):
    with socket.create_connection(("127.0.0.1", coordinator.port), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while piece := plain.recv(4096):
            said += piece
    assert said.startswith(b"HTTP/1.1 400 ") and b"This port speaks TLS" in said
    port = coordinator.wait_for_log(r"event=started .*metrics_port=(\d+)").group(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b'\ndarkbloom_tls_handshakes_total{result="failed"} 1\n' in answer.read()


def test_our_own_provider_serves_over_tls_and_believes_no_other_certificate(coordinator, certificate, tmp_path):
    provider = Provider(tmp_path / "provider", coordinator.port, ca_file=certificate.cert).start()
    client = Client(coordinator, coordinator.make_key(), certificate.trusted())
    body = {"model": MODEL_ID, "messages": messages("Say something."), "max_tokens": 8}
    _, events = client.events(body)
    assert text_of(events) and events[-1] == "[DONE]"
    kept = tmp_path / "kept.pem"
    kept.write_bytes(certificate.cert.read_bytes())
    provider.stop()
    certificate.renew()
    reload(coordinator, r"event=reloaded result=all")
    stranger = Provider(tmp_path / "provider", coordinator.port, ca_file=kept)
    stranger.start(ready=r"event=link_lost .*TLS to the server failed: self-signed certificate")
    stranger.stop()
    coordinator.wait_until_settled()


def test_a_start_without_the_right_files_names_setting_and_file(tmp_path, certificate):
    def start(*flags):
        return subprocess.run([BUILD / "darkbloom-coordinator", "--store", tmp_path / "s.db", "--port", "0", *flags],
                              capture_output=True, text=True, timeout=60)

    alone = start("--tls-cert", certificate.cert)
    assert alone.returncode == 2
    assert "server.tls_cert is set, but server.tls_key is not; TLS needs both" in alone.stderr
    (tmp_path / "other").mkdir()
    other = Certificate(tmp_path / "other")
    for more in ([], ["--check-config"]):
        mixed = start("--tls-cert", certificate.cert, "--tls-key", other.key, *more)
        assert mixed.returncode != 0
        assert f"server.tls_key: the key in `{other.key}` does not belong to the certificate" in mixed.stderr
