"""The resumable upload: start, upload, finalize, query, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reembed_emulator.backend import Backend
from reembed_emulator.errors import ApiError, invalid
from reembed_emulator.files import resource
from reembed_emulator.messages import CREATE_FILE
from reembed_emulator.records import UploadRecord
from reembed_emulator.uploads import GRANULARITY
from reembed_emulator.wire import check_key, read_body, read_message, refusal, reply

_MAX_METADATA = 100_000
_COMMANDS = ({"start"}, {"upload"}, {"upload", "finalize"}, {"finalize"}, {"query"}, {"cancel"})


async def upload(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer any command of the protocol; chunks need no API key."""
    words = {word.strip() for word in request.headers.get("x-goog-upload-command", "").split(",")}
    if words not in _COMMANDS:
        raise invalid(f"X-Goog-Upload-Command {', '.join(sorted(words))!r} is not known")
    if words == {"start"}:
        return await _start(backend, request)
    record = backend.uploads.get(request.query_params.get("upload_id", ""))
    if words == {"query"}:
        return _answer(backend, record)
    # One writer a session: a chunk whose sender is gone must be over before the next is taken.
    async with backend.writers.setdefault(record.id, asyncio.Lock()):
        record = backend.uploads.get(record.id)
        try:
            return await _command(backend, request, record, words)
        except ApiError as err:
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
    message = read_message(body, CREATE_FILE) if body else {}
    mime_type = request.headers.get("x-goog-upload-header-content-type", "")
    record = backend.uploads.start(message.get("file", {}), int(declared), mime_type)
    url = f"{str(request.base_url).rstrip('/')}/upload/v1beta/files?upload_id={record.id}"
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
        return _answer(backend, backend.uploads.get(record.id))
    if "upload" in words:
        await _take(backend, request, record, last="finalize" in words)
    if "finalize" not in words:
        return _answer(backend, record)
    file = await run_in_threadpool(backend.uploads.finalize, record)
    base_url = str(request.base_url).rstrip("/")
    headers = _status(backend, backend.uploads.get(record.id))
    return reply({"file": resource(file, base_url)}, headers=headers)


async def _take(backend: Backend, request: Request, record: UploadRecord, last: bool) -> None:
    """Append the chunk; what arrived before a cut connection stays."""
    arrived = backend.uploads.received(record)
    offset = request.headers.get("x-goog-upload-offset", "")
    if offset != str(arrived):
        raise invalid(f"X-Goog-Upload-Offset must be {arrived}, got {offset!r}")
    length = int(request.headers.get("content-length") or 0)
    if arrived + length > record.size:
        raise invalid(f"The chunk ends at {arrived + length}, {record.size} bytes were declared")
    if backend.settings.strict_chunks and not last and length % GRANULARITY:
        raise invalid(f"The chunk has {length} bytes, not a multiple of {GRANULARITY}")
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


def _answer(backend: Backend, record: UploadRecord) -> Response:
    return Response(headers=_status(backend, record))
