"""Calls on files: resumable upload, get, list, delete, download."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from reembed_emulator.backend import Backend
from reembed_emulator.errors import ApiError, invalid
from reembed_emulator.files import GRANULARITY
from reembed_emulator.http import (
    HEADERS,
    base_url,
    check_key,
    read_body,
    read_page,
    refusal,
    reply,
)
from reembed_emulator.messages import CreateFile, File, read_message
from reembed_emulator.state import FileRecord, UploadRecord, timestamp

_PAGE_SIZES = (10, 100)
_MAX_METADATA = 100_000
_COMMANDS = ({"start"}, {"upload"}, {"upload", "finalize"}, {"finalize"}, {"query"}, {"cancel"})


async def upload(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer any command of the resumable protocol."""
    words = {word.strip() for word in request.headers.get("x-goog-upload-command", "").split(",")}
    if words not in _COMMANDS:
        raise invalid(f"X-Goog-Upload-Command {', '.join(sorted(words))!r} is not known")
    if words == {"start"}:
        return await _start(backend, request)
    # From here on without an API key (confirmed): the URL of the session is the secret.
    record = backend.uploads.get(request.query_params.get("upload_id", ""))
    if words == {"query"}:
        return _status_reply(backend, record)
    # One writer a session: a client whose connection broke sends the next chunk while the server
    # may still be writing the bytes of the lost one.
    async with backend.writers.setdefault(record.id, asyncio.Lock()):
        record = backend.uploads.get(record.id)
        try:
            return await _command(backend, request, record, words)
        except ApiError as err:
            # A refusal carries the offset, from which a client can go on.
            err.headers.update(_status(backend, backend.uploads.get(record.id)))
            return refusal(err)


async def _start(backend: Backend, request: Request) -> Response:
    check_key(request, backend.settings.expected_key)
    protocol = request.headers.get("x-goog-upload-protocol", "")
    if protocol != "resumable":
        raise invalid(f"X-Goog-Upload-Protocol must be resumable, got {protocol!r}")
    declared = request.headers.get("x-goog-upload-header-content-length", "")
    if not declared.isdecimal():
        raise invalid(f"X-Goog-Upload-Header-Content-Length must be a number, got {declared!r}")
    body = await read_body(request, _MAX_METADATA)
    file = (read_message(body, CreateFile).file if body else None) or File()
    mime_type = request.headers.get("x-goog-upload-header-content-type", "")
    record = backend.uploads.start(file, int(declared), mime_type)
    url = f"{base_url(request)}/upload/v1beta/files?upload_id={record.id}"
    headers = {
        "X-Goog-Upload-URL": f"{url}&upload_protocol=resumable",
        "X-Goog-Upload-Control-URL": f"{url}&upload_protocol=resumable",
        "X-Goog-Upload-Chunk-Granularity": str(GRANULARITY),
        "X-Goog-Upload-Status": "active",
    }
    return Response(headers=headers)


async def _command(
    backend: Backend, request: Request, record: UploadRecord, words: set[str]
) -> Response:
    if record.status != "active":
        raise invalid(f"The upload is {record.status} already.")
    if words == {"cancel"}:
        backend.uploads.cancel(record)
        return _status_reply(backend, backend.uploads.get(record.id))
    if "upload" in words:
        await _append(backend, request, record, last="finalize" in words)
    if "finalize" not in words:
        return _status_reply(backend, record)
    file = await run_in_threadpool(backend.uploads.finalize, record)
    headers = _status(backend, backend.uploads.get(record.id))
    return reply({"file": file_message(file, base_url(request))}, headers=headers)


async def _append(backend: Backend, request: Request, record: UploadRecord, last: bool) -> None:
    """Append the chunk; bytes that arrived before a broken connection stay."""
    arrived = backend.uploads.received(record)
    # A repeated chunk is refused rather than skipped: the client must ask for the offset.
    offset = request.headers.get("x-goog-upload-offset", "")
    if offset != str(arrived):
        raise invalid(f"X-Goog-Upload-Offset must be {arrived}, got {offset!r}")
    length = int(request.headers.get("content-length") or 0)
    if arrived + length > record.size:
        raise invalid(f"The chunk ends at {arrived + length}, {record.size} bytes were declared")
    if backend.settings.strict_chunks and not last and length % GRANULARITY:
        raise invalid(f"The chunk has {length} bytes, not a multiple of {GRANULARITY}")
    # Unbuffered: the size on disk is what a query answers with.
    with backend.uploads.part(record.id).open("ab", buffering=0) as stream:
        async for block in request.stream():
            arrived += len(block)
            if arrived > record.size:
                raise invalid(f"The chunk goes beyond the {record.size} bytes that were declared")
            stream.write(block)


def _status(backend: Backend, record: UploadRecord) -> dict[str, str]:
    return {
        "X-Goog-Upload-Status": record.status,
        "X-Goog-Upload-Size-Received": str(backend.uploads.received(record)),
    }


def _status_reply(backend: Backend, record: UploadRecord) -> Response:
    return Response(headers=_status(backend, record))


async def get_file(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with the `File`."""
    return reply(file_message(backend.files.get(names["file"]), base_url(request)))


async def list_files(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with a page of files, newest first."""
    page, token = read_page(
        request, backend.files.newest_first(), lambda file: [-file.created, file.id], _PAGE_SIZES
    )
    message: dict[str, Any] = {"files": [file_message(file, base_url(request)) for file in page]}
    if token:
        message["nextPageToken"] = token
    return reply({name: value for name, value in message.items() if value})


async def delete_file(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Delete an uploaded file; the names of result files are too long for this call."""
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
    # Result files are gigabytes: with the default of 64 KiB, switching threads for each piece
    # costs more than reading it.
    chunk_size = 1 << 20


def file_message(record: FileRecord, base_url: str) -> dict[str, Any]:
    """Return the `File` message of a record."""
    uri = f"{base_url}/v1beta/{record.name}"
    message: dict[str, Any] = {
        "name": record.name,
        "displayName": record.display_name,
        "mimeType": record.mime_type,
        "sizeBytes": str(record.size),
        "createTime": timestamp(record.created),
        "updateTime": timestamp(record.created),
        "expirationTime": timestamp(record.expires),
        # Base64 of the hexadecimal text, not of the 32 bytes: so the service does.
        "sha256Hash": base64.b64encode(record.sha256.encode()).decode(),
        "uri": uri,
        "state": "ACTIVE",
        "source": "GENERATED" if record.generated else "UPLOADED",
    }
    if record.generated:
        message["downloadUri"] = f"{uri}:download?alt=media"
    # Proto JSON leaves out empty strings and zeros.
    return {name: value for name, value in message.items() if value not in ("", "0")}
