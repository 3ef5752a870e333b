"""Which method and path is which call: a table, so that faults and counts have names to use."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from reembed_emulator import (
    calls_batches,
    calls_control,
    calls_files,
    calls_models,
    calls_upload,
)
from reembed_emulator.backend import Backend

Call = Callable[[Backend, Request, Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """Describe one call: its name, its method and path, and whether it needs the key."""

    name: str
    method: str
    path: re.Pattern[str]
    call: Call
    needs_key: bool = True


def _route(name: str, method: str, path: str, call: Call, needs_key: bool = True) -> Route:
    pattern = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
    both = pattern.replace("{version}", "(?P<version>v1beta|v1)")
    return Route(
        name, method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/:]+)", both)), call, needs_key
    )


_MODEL = "/{version}/models/{model}"
_BATCH = "/{version}/batches/{batch}"
_DOWNLOAD = "/v1beta/files/{file}:download"

ROUTES = (
    _route("upload", "POST", "/upload/v1beta/files", calls_upload.upload, needs_key=False),
    _route("upload", "PUT", "/upload/v1beta/files", calls_upload.upload, needs_key=False),
    _route("files.list", "GET", "/v1beta/files", calls_files.list_files),
    _route("files.get", "GET", "/v1beta/files/{file}", calls_files.get_file),
    _route("files.delete", "DELETE", "/v1beta/files/{file}", calls_files.delete_file),
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

# The parts of a resumable upload share a path: the command tells them apart.
_UPLOADS = {
    "start": "upload.start",
    "query": "upload.query",
    "cancel": "upload.cancel",
    "upload": "upload.chunk",
    "finalize": "upload.finalize",
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
    words = {word.strip().lower() for word in command.split(",")}
    for word in ("finalize", "upload", "start", "query", "cancel"):
        if word in words:
            return _UPLOADS[word]
    return "upload"


def names() -> frozenset[str]:
    """Return all names that a fault may be set on, but for the control of the emulator."""
    plain = {route.name for route in ROUTES} - {"upload", "control"}
    return frozenset({"*", *plain, *_UPLOADS.values()})
