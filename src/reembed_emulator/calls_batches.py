"""Calls on batches: create, get, list, cancel, delete, update, and the Operation they answer."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from reembed_emulator.backend import Backend
from reembed_emulator.errors import ApiError, invalid, no_such_model
from reembed_emulator.faults import SeemsEnded, ShowState, parse_job_faults
from reembed_emulator.http import HEADERS, read_body, read_page, reply
from reembed_emulator.messages import Batch, CreateBatch, read_message
from reembed_emulator.models import MODELS
from reembed_emulator.state import PENDING, RUNNING, SUCCEEDED, TERMINAL, JobRecord, timestamp

_PAGE_SIZES = (50, 1000)
_SMALL_BODY = 1_000_000
_UPDATABLE = {
    "priority": "priority",
    "displayName": "display_name",
    "display_name": "display_name",
}
_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.EmbedContentBatch"
_BLOCK = 1 << 20
_OPEN = b'{"inlinedResponses":{"inlinedResponses":['
_CLOSE = b"]}}"
# Placeholder of the inline output; random, so that no value from a client can equal it.
_MARK = secrets.token_hex(16)


async def create(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Create a job; a repeated call makes, and bills, another one."""
    if names["model"] not in MODELS:
        raise no_such_model(names["model"], "asyncBatchEmbedContent", names["version"])
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        batch = read_message(body, CreateBatch).batch
        if batch is None:
            raise invalid("* AsyncBatchEmbedContentRequest.batch: is required")
        job = backend.jobs.create(names["model"], batch, backend.count_tokens, backend.faults)
        backend.engine.wake()
        return operation_message(job, job.total)

    return reply(await run_in_threadpool(work))


async def get(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with the Operation, including inline output."""
    job = _shown(backend.jobs.get(names["batch"]), backend.clock.now())
    if job.file_id or job.state != SUCCEEDED:
        return reply(operation_message(job, backend.engine.pending_rows(job)))
    length, pieces = _inline_reply(job, backend.state.data("jobs", job.id, "output"))
    if length > backend.settings.max_inline_reply_bytes:
        # Reported: huge inline results cannot be fetched at all, the service answers 503 or 504.
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
        shown = [_shown(job, backend.clock.now()) for job in page]
        message["operations"] = [
            operation_message(job, backend.engine.pending_rows(job)) for job in shown
        ]
    if token:
        message["nextPageToken"] = token
    return reply(message)


async def cancel(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Cancel a job that is still active."""
    backend.jobs.cancel(names["batch"])
    backend.engine.wake()
    return reply({})


async def delete(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Hide a job without cancelling it."""
    backend.jobs.delete(names["batch"])
    return reply({})


async def update(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Set the display name or the priority, as `updateMask` says."""
    body = await read_body(request, _SMALL_BODY)
    given = read_message(body, Batch).model_dump(exclude_none=True)
    mask = request.query_params.get("updateMask") or request.query_params.get("update_mask") or ""
    paths = [path.strip() for path in mask.split(",") if path.strip()] or list(given)
    fields: dict[str, Any] = {}
    for path in paths:
        if path not in _UPDATABLE:
            allowed = ", ".join(sorted(set(_UPDATABLE.values())))
            raise invalid(f"update_mask path {path!r} cannot be updated; allowed are {allowed}")
        # A field in the mask but not in the body is set to its default, as in proto updates.
        default = 0 if path == "priority" else ""
        fields[_UPDATABLE[path]] = given.get(_UPDATABLE[path], default)
    if fields.get("display_name") == "":
        raise invalid("batch.display_name: is required")
    job = backend.jobs.update(names["batch"], fields)
    return reply(_batch_message(job, backend.engine.pending_rows(job)))


def operation_message(job: JobRecord, pending: int) -> dict[str, Any]:
    """Return the Operation of a job, without inline output; defaults are left out as in proto JSON.

    Args:
        job: The job.
        pending: Its rows still to do.
    """
    message: dict[str, Any] = {"name": job.name, "metadata": _batch_message(job, pending)}
    if job.state in TERMINAL or _done_by_fault(job):
        message["done"] = True
    # Beside `done`, where the SDK's BatchJob drops it (confirmed): clients need the raw Operation.
    if job.error is not None:
        message["error"] = job.error
    if job.state == SUCCEEDED:
        response: dict[str, Any] = {"@type": _TYPE}
        if job.file_id:
            response["output"] = {"responsesFile": f"files/{job.result_id}"}
        message["response"] = response
    return message


def _batch_message(job: JobRecord, pending: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "@type": _TYPE,
        "model": f"models/{job.model}",
        "displayName": job.display_name,
        "name": job.name,
        "createTime": timestamp(job.created),
        "updateTime": timestamp(job.updated),
        "state": job.state,
    }
    if job.file_id:
        message["inputConfig"] = {"fileName": f"files/{job.file_id}"}
    if job.priority:
        message["priority"] = str(job.priority)
    if job.ended:
        message["endTime"] = timestamp(job.ended)
    if job.state == SUCCEEDED and job.file_id:
        message["output"] = {"responsesFile": f"files/{job.result_id}"}
    message["batchStats"] = _stats(job, pending)
    return message


def _stats(job: JobRecord, pending: int) -> dict[str, str]:
    # int64 are strings and zeros are left out (confirmed): a reader must not need every count.
    counts = {"requestCount": job.total}
    if job.state in (PENDING, RUNNING):
        counts["pendingRequestCount"] = pending
    counts["successfulRequestCount"] = job.succeeded
    counts["failedRequestCount"] = job.failed
    return {name: str(count) for name, count in counts.items() if count}


def _shown(job: JobRecord, now: float) -> JobRecord:
    """Return the job as clients see it now: a fault may show an end that it has not had."""
    for fault in parse_job_faults(job.faults):
        if isinstance(fault, SeemsEnded) and now < job.created + fault.seconds:
            return dataclasses.replace(
                job,
                state=fault.state,
                error=fault.status("failure"),
                ended=job.created,
                succeeded=0,
                failed=0,
            )
    return job


def _done_by_fault(job: JobRecord) -> bool:
    return any(
        isinstance(fault, ShowState) and fault.done for fault in parse_job_faults(job.faults)
    )


# Streamed, since the reply holds the output twice: hundreds of megabytes by default.
def _inline_reply(job: JobRecord, output: Path) -> tuple[int, Iterator[bytes]]:
    """Return length and bytes of the Operation with inline output.

    The output stands in it twice, under `metadata` and under `response`, as on the service, which
    is why large inline replies are a trap.
    """
    message = operation_message(job, 0)
    message["metadata"]["output"] = _MARK
    message["response"]["output"] = _MARK
    pieces = orjson.dumps(message).split(orjson.dumps(_MARK))
    lines = max(0, output.stat().st_size - 1)
    wrapped = lines + len(_OPEN) + len(_CLOSE)
    length = sum(map(len, pieces)) + wrapped * (len(pieces) - 1)
    return length, _stream(pieces, output, lines)


def _stream(pieces: list[bytes], output: Path, length: int) -> Iterator[bytes]:
    yield pieces[0]
    for piece in pieces[1:]:
        yield _OPEN
        with output.open("rb") as stream:
            left = length
            while left > 0:
                block = stream.read(min(_BLOCK, left))
                left -= len(block)
                # Lines become the elements of an array; JSON holds no other line feed.
                yield block.replace(b"\n", b",")
        yield _CLOSE
        yield piece
