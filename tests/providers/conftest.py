"""A client before a scripted server, with waits that take no time."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from providers.scripted import KEY, ScriptedServer
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.http import Endpoint, GeminiHttp
from reembed.providers.gemini.retries import RetryPolicy
from reembed.providers.keys import Secret


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client wanted to sleep."""
    return []


@pytest.fixture
def retries(waits: list[float]) -> RetryPolicy:
    return RetryPolicy(attempts=4, sleep=waits.append, jitter=lambda: 0.0)


@pytest.fixture
def service(server: ScriptedServer, retries: RetryPolicy) -> Iterator[GeminiService]:
    with GeminiService(server.url, "v1beta", KEY, 5.0, retries) as service:
        yield service


@pytest.fixture
def wire(server: ScriptedServer) -> Iterator[GeminiHttp]:
    wire = GeminiHttp(Endpoint(server.url, "v1beta", 5.0), Secret(KEY))
    yield wire
    wire.close()


@pytest.fixture
def closed_port() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
