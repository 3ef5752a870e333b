"""ASGI application: routes, injected request faults, and the journal of every request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from reembed_emulator import calls_batches, calls_control, calls_files, calls_models
from reembed_emulator.backend import Backend
from reembed_emulator.errors import ApiError
from reembed_emulator.faults import (
    CutAfter,
    CutBefore,
    CutBody,
    Delay,
    RequestFault,
    StatusFault,
)
from reembed_emulator.http import check_key, refusal

# ASGI extension by which the server offers to close the connection; see server.py.
CUT = "reembed_emulator.cut"

Call = Callable[[Backend, Request, Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One call: its name in faults and counts, method, path, and whether it needs the API key."""

    name: str
    method: str
    path: re.Pattern[str]
    call: Call
    needs_key: bool = True


def _route(name: str, method: str, path: str, call: Call, needs_key: bool = True) -> Route:
    pattern = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
    # The SDK calls v1 or v1beta for models and batches; files are documented on v1beta alone.
    both = pattern.replace("{version}", "(?P<version>v1beta|v1)")
    return Route(
        name, method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/:]+)", both)), call, needs_key
    )


_MODEL = "/{version}/models/{model}"
_BATCH = "/{version}/batches/{batch}"
_DOWNLOAD = "/v1beta/files/{file}:download"

ROUTES = (
    _route("upload", "POST", "/upload/v1beta/files", calls_files.upload, needs_key=False),
    _route("upload", "PUT", "/upload/v1beta/files", calls_files.upload, needs_key=False),
    _route("files.list", "GET", "/v1beta/files", calls_files.list_files),
    _route("files.get", "GET", "/v1beta/files/{file}", calls_files.get_file),
    _route("files.delete", "DELETE", "/v1beta/files/{file}", calls_files.delete_file),
    # The SDK uses the first form, the vendor's documentation the second.
    _route("files.download", "GET", _DOWNLOAD, calls_files.download),
    _route("files.download", "GET", "/download" + _DOWNLOAD, calls_files.download),
    _route("batches.create", "POST", _MODEL + ":asyncBatchEmbedContent", calls_batches.create),
    _route("batches.list", "GET", "/{version}/batches", calls_batches.list_batches),
    _route("batches.get", "GET", _BATCH, calls_batches.get),
    _route("batches.cancel", "POST", _BATCH + ":cancel", calls_batches.cancel),
    _route("batches.delete", "DELETE", _BATCH, calls_batches.delete),
    _route("batches.update", "PATCH", _BATCH + ":updateEmbedContentBatch", calls_batches.update),
    _route("models.embed", "POST", _MODEL + ":embedContent", calls_models.embed),
    _route("models.embed_many", "POST", _MODEL + ":batchEmbedContents", calls_models.embed_many),
    _route("models.count", "POST", _MODEL + ":countTokens", calls_models.count),
    _route("models.list", "GET", "/{version}/models", calls_models.list_models),
    _route("models.get", "GET", _MODEL, calls_models.get_model),
    _route("control", "GET", "/emulator/requests", calls_control.requests, needs_key=False),
    _route("control", "GET", "/emulator/jobs", calls_control.jobs, needs_key=False),
    _route("control", "POST", "/emulator/advance", calls_control.advance, needs_key=False),
    _route("control", "GET", "/emulator/faults", calls_control.get_faults, needs_key=False),
    _route("control", "POST", "/emulator/faults", calls_control.set_faults, needs_key=False),
)

# The commands of a resumable upload share a path, and a chunk may finalize as well: the first
# command here that a request has gives the name.
_UPLOADS = {
    "finalize": "upload.finalize",
    "upload": "upload.chunk",
    "start": "upload.start",
    "query": "upload.query",
    "cancel": "upload.cancel",
}


def find_route(method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    """Return the route of a request and the names in its path, or None."""
    for route in ROUTES:
        if route.method == method and (match := route.path.fullmatch(path)):
            return route, match.groupdict()
    return None


def route_name(route: Route, command: str) -> str:
    """Return the name for counts and faults; `command` is X-Goog-Upload-Command."""
    if route.name != "upload":
        return route.name
    given = {word.strip().lower() for word in command.split(",")}
    return next((name for word, name in _UPLOADS.items() if word in given), "upload")


def fault_names() -> frozenset[str]:
    """Return all route names that a fault may apply to; control calls are exempt."""
    plain = {route.name for route in ROUTES} - {"upload", "control"}
    return frozenset({"*", *plain, *_UPLOADS.values()})


class App:
    """ASGI application that serves one emulated project."""

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
        # Control calls are exempt: a test must be able to end a fault on every route.
        faults = [] if name in ("control", "unknown") else self._backend.faults.matching(name)
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
        faults: Sequence[RequestFault],
    ) -> None:
        refused: Response | None = None
        for fault in faults:
            if isinstance(fault, Delay):
                await asyncio.sleep(fault.seconds)
            elif isinstance(fault, CutBefore):
                raise _Cut
            elif isinstance(fault, StatusFault):
                refused = _injected(fault)
            elif isinstance(fault, CutBody):
                exchange.limit = fault.bytes
        response = refused or await self._answer(request, found)
        # After the call is carried out: a lost answer to a create leaves a job behind.
        if any(isinstance(fault, CutAfter) for fault in faults):
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
    """End of a request without an answer."""


class _Exchange:
    """One request and its answer: counts their bytes, and cuts the connection for a fault."""

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
            # Before the end is sent: a client that has the whole answer finds it counted.
            self.note()
        await self._send(message)

    def note(self) -> None:
        """Write the journal entry, once."""
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
        # uvicorn notices the closed connection in its next turn; before that it would complain
        # that the application sent no answer.
        await asyncio.sleep(0.01)


def _injected(fault: StatusFault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return refusal(ApiError(fault.status, fault.message, headers=headers))
