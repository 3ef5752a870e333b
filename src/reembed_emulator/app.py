"""The ASGI application: find the call, strike faults, answer, keep the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from reembed_emulator.backend import Backend
from reembed_emulator.errors import ApiError
from reembed_emulator.routes import Route, find_route, route_name
from reembed_emulator.wire import check_key, refusal

# Where the server puts the way to cut a connection; see server.py.
CUT = "reembed.cut"


class App:
    """Serve one emulated project."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send, self._note)
        request = Request(scope, exchange.receive)
        found = find_route(request.method, request.url.path)
        name = "unknown"
        if found is not None:
            name = route_name(found[0], request.headers.get("x-goog-upload-command", ""))
        exchange.route = name
        faults = [] if name in ("control", "unknown") else self._backend.faults.strike(name)
        try:
            await self._serve(request, exchange, found, faults)
        except (ClientDisconnect, _Cut):
            exchange.note()
            await exchange.cut()
        finally:
            exchange.note()

    async def _serve(
        self,
        request: Request,
        exchange: _Exchange,
        found: tuple[Route, Mapping[str, str]] | None,
        faults: list[Mapping[str, Any]],
    ) -> None:
        refused: Response | None = None
        for fault in faults:
            if fault["do"] == "delay":
                await asyncio.sleep(fault["seconds"])
            elif fault["do"] == "cut_before":
                raise _Cut
            elif fault["do"] == "status":
                refused = _injected(fault)
            elif fault["do"] == "cut_body":
                exchange.limit = fault["bytes"]
        response = refused or await self._answer(request, found)
        if any(fault["do"] == "cut_after" for fault in faults):
            raise _Cut
        await response(request.scope, request.receive, exchange.send)

    async def _answer(
        self, request: Request, found: tuple[Route, Mapping[str, str]] | None
    ) -> Response:
        try:
            if found is None:
                raise ApiError(404, f"The path {request.url.path} was not found on this server.")
            route, names = found
            if route.needs_key:
                check_key(request, self._backend.settings.expected_key)
            return await route.call(self._backend, request, names)
        except ApiError as err:
            return refusal(err)

    def _note(self, entry: dict[str, Any]) -> None:
        self._backend.journal.add({"time": self._backend.clock.now(), **entry})


class _Cut(Exception):
    """End a request without an answer."""


class _Exchange:
    """Count the bytes of one request and its answer, and cut the connection when told to."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, keep: Callable[[dict[str, Any]], None]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._keep: Callable[[dict[str, Any]], None] | None = keep
        self.route = ""
        self.limit: int | None = None
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        body = message.get("body", b"")
        if self.limit is not None and self.bytes_out + len(body) > self.limit:
            kept = body[: self.limit - self.bytes_out]
            self.bytes_out += len(kept)
            await self._send({"type": "http.response.body", "body": kept, "more_body": True})
            raise _Cut
        self.bytes_out += len(body)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # Before the end is sent: who has the whole answer finds it counted.
            self.note()
        await self._send(message)

    def note(self) -> None:
        keep, self._keep = self._keep, None
        if keep is not None:
            keep(
                {
                    "method": self._scope["method"],
                    "route": self.route,
                    "path": self._scope["path"],
                    "status": self.status,
                    "in": self.bytes_in,
                    "out": self.bytes_out,
                }
            )

    async def cut(self) -> None:
        cut = self._scope.get("extensions", {}).get(CUT)
        if cut is not None:
            cut()
        # The server notices the closed connection in its next turn, and then asks for no answer.
        await asyncio.sleep(0.01)


def _injected(fault: Mapping[str, Any]) -> Response:
    headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
    message = fault.get("message", "Injected by the emulator.")
    return refusal(ApiError(int(fault["status"]), message, headers=headers))
