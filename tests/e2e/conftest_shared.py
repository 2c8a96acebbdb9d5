# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.http import Client  # noqa: E402
from support.programs import MODEL, Coordinator, Provider  # noqa: E402


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A coordinator with the real provider and model: (coordinator, provider, client)."""
    assert MODEL.exists(), "the demo model is missing: run scripts/setup.sh test"
    directory = tmp_path_factory.mktemp("network")
    coordinator = Coordinator(directory, "--min-trust", "self_signed", "--rate", "0").start()
    provider = Provider(directory / "provider", coordinator.port).start()
    yield coordinator, provider, Client(coordinator, coordinator.make_key())
    provider.stop()
    coordinator.stop()


@pytest.fixture
def open_coordinator(tmp_path):
    """Starts coordinators in open mode with the given flags; all are stopped at the end, balanced."""
    started = []

    def start(*flags):
        c = Coordinator(tmp_path, "--min-trust", "none", "--rate", "0", *flags).start()
        started.append(c)
        return c, Client(c, c.make_key())

    yield start
    for c in started:
        c.wait_until_settled()
        c.stop()
