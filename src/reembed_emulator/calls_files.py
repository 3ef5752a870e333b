"""The calls on files: get, list, delete, download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from reembed_emulator.backend import Backend
from reembed_emulator.errors import invalid
from reembed_emulator.files import resource
from reembed_emulator.wire import HEADERS, read_page, reply

_PAGE_SIZES = (10, 100)


async def get_file(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with the `File`."""
    return reply(resource(backend.files.get(names["file"]), _base(request)))


async def list_files(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with a page of files, newest first."""
    page, token = read_page(
        request, backend.files.newest_first(), lambda file: [-file.created, file.id], _PAGE_SIZES
    )
    message: dict[str, Any] = {"files": [resource(file, _base(request)) for file in page]}
    if token:
        message["nextPageToken"] = token
    return reply({name: value for name, value in message.items() if value})


async def delete_file(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Delete an uploaded file; the generated names are too long for this call."""
    backend.files.delete(names["file"])
    return reply({})


async def download(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Stream a generated file from disk, whole or by `Range`."""
    if request.query_params.get("alt") != "media":
        raise invalid("alt=media is needed to download a file")
    file = backend.files.get(names["file"])
    if not file.generated:
        raise invalid(f"Only generated files can be downloaded; {file.name} was uploaded.")
    return _Download(backend.files.path(file.id), media_type=file.mime_type, headers=HEADERS)


class _Download(FileResponse):
    # Result files are gigabytes: larger pieces than the default cost a tenth of the switches.
    chunk_size = 1 << 20


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")
