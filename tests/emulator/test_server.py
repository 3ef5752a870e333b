from __future__ import annotations

import signal

import httpx
import pytest

import reembed_emulator
from reembed_emulator import EmulatorServer, EmulatorSettings


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(spawn, how):
    # With a connection open: the client of the fixture keeps its own.
    process, api = spawn()
    assert api.http.get("/v1beta/models").is_success
    assert process.end(how) == 0


def test_a_server_ends_with_its_block():
    with EmulatorServer(EmulatorSettings(port=0)) as server:
        url = server.base_url
        assert httpx.get(f"{url}/emulator/faults").json() == {"faults": []}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/emulator/faults")


def test_the_package_exports_its_public_names():
    assert set(reembed_emulator.__all__) == {"EmulatorServer", "EmulatorSettings", "run_emulator"}
