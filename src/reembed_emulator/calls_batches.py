"""The calls on batches: create, get, list, cancel, delete, update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from reembed_emulator.backend import Backend
from reembed_emulator.errors import ApiError, invalid, no_such_model
from reembed_emulator.messages import BATCH, CREATE_BATCH
from reembed_emulator.models import MODELS
from reembed_emulator.operation import as_shown, batch, inline_reply, operation
from reembed_emulator.records import SUCCEEDED
from reembed_emulator.wire import HEADERS, read_body, read_message, read_page, reply

_PAGE_SIZES = (50, 1000)
_SMALL_BODY = 1_000_000
_UPDATABLE = {
    "priority": "priority",
    "displayName": "display_name",
    "display_name": "display_name",
}


async def create(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Create a job, billed once for each call that is answered, or was answered and lost."""
    if names["model"] not in MODELS:
        raise no_such_model(names["model"], "asyncBatchEmbedContent", names["version"])
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        wanted = read_message(body, CREATE_BATCH).get("batch")
        if wanted is None:
            raise invalid("* AsyncBatchEmbedContentRequest.batch: is required")
        job = backend.jobs.create(names["model"], wanted, backend.count_tokens, backend.faults)
        backend.engine.wake()
        return operation(job, job.total)

    return reply(await run_in_threadpool(work))


async def get(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with the Operation, with inline output if there is any."""
    job = as_shown(backend.jobs.get(names["batch"]), backend.clock.now())
    if job.file_id or job.state != SUCCEEDED:
        return reply(operation(job, backend.engine.progress(job)))
    length, pieces = inline_reply(job, backend.state.data("jobs", job.id, "output"))
    if length > backend.settings.max_inline_reply_bytes:
        raise ApiError(503, "The service is currently unavailable.")
    headers = {**HEADERS, "content-length": str(length)}
    return StreamingResponse(pieces, headers=headers, media_type="application/json; charset=UTF-8")


async def list_batches(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with a page of Operations, newest first, without inline output."""
    page, token = read_page(
        request, backend.jobs.newest_first(), lambda job: [-job.number], _PAGE_SIZES
    )
    message: dict[str, Any] = {}
    if page:
        shown = [as_shown(job, backend.clock.now()) for job in page]
        message["operations"] = [operation(job, backend.engine.progress(job)) for job in shown]
    if token:
        message["nextPageToken"] = token
    return reply(message)


async def cancel(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Cancel a job if it still can be."""
    backend.jobs.cancel(names["batch"])
    backend.engine.wake()
    return reply({})


async def delete(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Take a job out of sight; this does not cancel it."""
    backend.jobs.delete(names["batch"])
    return reply({})


async def update(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Set the display name or the priority, as `updateMask` says."""
    body = await read_body(request, _SMALL_BODY)
    message = read_message(body, BATCH)
    given = request.query_params.get("updateMask") or request.query_params.get("update_mask") or ""
    paths = [path.strip() for path in given.split(",") if path.strip()] or list(message)
    fields: dict[str, Any] = {}
    for path in paths:
        if path not in _UPDATABLE:
            allowed = ", ".join(sorted(set(_UPDATABLE.values())))
            raise invalid(f"update_mask path {path!r} cannot be updated; allowed are {allowed}")
        default = 0 if path == "priority" else ""
        fields[_UPDATABLE[path]] = message.get(_UPDATABLE[path], default)
    if fields.get("display_name") == "":
        raise invalid("batch.display_name: is required")
    job = backend.jobs.update(names["batch"], fields)
    return reply(batch(job, backend.engine.progress(job)))
