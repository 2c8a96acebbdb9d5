# SPDX-License-Identifier: Apache-2.0
"""What the operator sees of a running coordinator: at its control socket, and at the API with the admin key."""

import json
import stat
import urllib.error
import urllib.request

import pytest
from support.programs import Coordinator, wait_until
from support.scripted import ScriptedProvider

KEY = "an-admin-key-of-24-chars"
MODEL = "scripted-model"


@pytest.fixture
def coordinator(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKBLOOM_ADMIN_KEY", KEY)
    c = Coordinator(tmp_path, "--min-trust", "none", "--rate", "0").start()
    provider = ScriptedProvider(c.port, on_request=lambda r: r.answer("ok"))
    wait_until(lambda: "1 routable" in c.command("providers").stdout, "the provider is routable")
    yield c
    provider.close()
    c.stop()


def get(coordinator, path, key):
    request = urllib.request.Request(coordinator.url + path, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def test_the_command_shows_each_provider_with_its_gate(coordinator):
    text = coordinator.command("providers").stdout
    assert " yes yes yes " in text and " ok\n" in text, text
    assert "1 connected, 1 trusted, 1 routable" in text, text
    shown = json.loads(coordinator.command("providers", "--json").stdout)
    assert shown["counts"] == {"connected": 1, "trusted": 1, "routable": 1}, shown
    assert shown["data"][0]["models"][0]["model"] == MODEL, shown


def test_the_command_shows_a_decision(coordinator):
    assert "a request would go to" in coordinator.command("route", MODEL).stdout
    shown = json.loads(coordinator.command("route", MODEL, "--tokens", "100", "--json").stdout)
    assert shown["decisions"][0]["best"]["provider"]["gate"] == "ok", shown
    assert shown["decisions"][0]["runner_up"] is None, shown


def test_what_is_wrong_with_a_command_is_said(coordinator):
    for words, says in [(("providers", "--gate", "nonsense"), "there is no such gate"),
                        (("providers", "more"), "not understood"),
                        (("route",), "MODEL is missing"),
                        (("providers", "forgive", "00"), "64 lower-case hex digits"),
                        (("providers", "forgive", "0" * 64), "no such key is distrusted")]:
        done = coordinator.command(*words, check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr


def test_the_socket_is_the_coordinators_own_and_goes_with_it(coordinator):
    path = coordinator.store.with_name(coordinator.store.name + "-control")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    coordinator.stop()
    assert not path.exists()
    done = coordinator.command("providers", check=False)
    assert done.returncode == 1 and "no coordinator of ours answers at" in done.stderr, done.stderr
    coordinator.start()
    coordinator.kill()
    assert path.exists()  # of the dead: the next one takes its place
    coordinator.start()
    assert "connected" in coordinator.command("providers").stdout


def test_the_api_shows_the_same_to_the_admin_key_alone(coordinator):
    status, shown = get(coordinator, "/v1/admin/providers", KEY)
    assert status == 200 and shown["counts"]["routable"] == 1, shown
    status, shown = get(coordinator, f"/v1/admin/routing/explain?model={MODEL}", KEY)
    assert status == 200 and shown["decisions"][0]["best"], shown
    for key in (coordinator.make_key(), "nonsense"):
        status, shown = get(coordinator, "/v1/admin/providers", key)
        assert status == 401 and shown["error"]["code"] == "invalid_api_key", shown
