"""Server of the emulator: in the foreground until a signal, or in a thread for a test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from reembed_emulator.app import CUT, App
from reembed_emulator.backend import Backend
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import Journal

_GRACE_SECONDS = 1
# Tests open hundreds of connections at once.
_BACKLOG = 512


class EmulatorServer:
    """Emulated project served from a thread of this process.

    A context manager; `port=0` in the settings takes a free port.
    """

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings

    def __enter__(self) -> EmulatorServer:
        """Start, and return when requests are answered."""
        self._socket = _listen(self.settings)
        try:
            self.backend = Backend(self.settings)
        except BaseException:
            self._socket.close()
            raise
        self.backend.start()
        self._server = _Server(_config(self.backend))
        serve = functools.partial(_serve, self._server, self._socket)
        self._thread = threading.Thread(target=serve, name="emulator", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; jobs in flight go on when the state folder is served again."""
        self._server.should_exit = True
        self._thread.join()
        self.backend.close()

    @property
    def base_url(self) -> str:
        """Return the URL for clients, without a slash at its end."""
        host, port = self._socket_name
        return f"http://{host}:{port}"

    @property
    def journal(self) -> Journal:
        """Return the journal of requests."""
        return self.backend.journal

    @functools.cached_property
    def _socket_name(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)


def run_emulator(settings: EmulatorSettings, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve an emulated project until SIGINT or SIGTERM.

    Args:
        settings: Address, quotas and habits.
        on_ready: Called with the base URL when the port is open.

    Raises:
        OSError: The port is in use.
        ValueError: The state folder or the faults cannot be read.
    """
    # The port first: a second emulator on it must fail before it touches the state folder.
    listener = _listen(settings)
    try:
        backend = Backend(settings)
    except BaseException:
        listener.close()
        raise
    try:
        backend.start()
        if on_ready is not None:
            host, port = listener.getsockname()[:2]
            on_ready(f"http://{host}:{port}")
        _Server(_config(backend)).run(sockets=[listener])
    finally:
        listener.close()
        backend.close()


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    asyncio.run(server.serve(sockets=[listener]))


def _listen(settings: EmulatorSettings) -> socket.socket:
    return socket.create_server((settings.host, settings.port), backlog=_BACKLOG)


def _config(backend: Backend) -> uvicorn.Config:
    return uvicorn.Config(
        App(backend),
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


class _Server(uvicorn.Server):
    """Server that returns on a signal instead of raising it again: the backend must be closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Protocol(H11Protocol):
    """HTTP protocol that lets the application cut its connection, as a broken network would."""

    def connection_made(self, transport: Any) -> None:
        # asyncio sets this only on sockets made with a protocol number, which a listener made by
        # address lacks; without it each answer waits 40 ms for the client's acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CUT] = transport.close
            await inner(scope, receive, send)

        self.app = app
