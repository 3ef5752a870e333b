"""Write a job as the `Operation` message that get and list answer with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from reembed_emulator.clock import timestamp
from reembed_emulator.records import (
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    TERMINAL,
    JobRecord,
)

_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.EmbedContentBatch"
_BLOCK = 1 << 20
_OPEN = b'{"inlinedResponses":{"inlinedResponses":['
_CLOSE = b"]}}"
# Stands for the output until its bytes are put there; no name of a user can hold it.
_MARK = "\x00output\x00"


def as_shown(job: JobRecord, now: float) -> JobRecord:
    """Return the job as it is told at this time: a fault may show an end that it has not had."""
    for fault in job.faults:
        if fault["do"] == "seems_ended" and now < job.created + fault["seconds"]:
            code = int(fault.get("code", 13))
            message = fault.get("message", f"Injected failure of code {code}.")
            return dataclasses.replace(
                job,
                state=fault.get("state", FAILED),
                error={"code": code, "message": message},
                ended=job.created,
                succeeded=0,
                failed=0,
            )
    return job


def operation(job: JobRecord, pending: int) -> dict[str, Any]:
    """Return the Operation of a job, without inline output; defaults are left out as in proto JSON.

    Args:
        job: The job.
        pending: Its requests that still wait.
    """
    message: dict[str, Any] = {"name": job.name, "metadata": batch(job, pending)}
    if job.state in TERMINAL or _done_by_fault(job):
        message["done"] = True
    if job.error is not None:
        message["error"] = job.error
    if job.state == SUCCEEDED:
        response: dict[str, Any] = {"@type": _TYPE}
        if job.file_id:
            response["output"] = {"responsesFile": f"files/{job.result_id}"}
        message["response"] = response
    return message


def batch(job: JobRecord, pending: int) -> dict[str, Any]:
    """Return the `EmbedContentBatch` message of a job."""
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


def inline_reply(job: JobRecord, output: Path) -> tuple[int, Iterator[bytes]]:
    """Return length and bytes of the Operation with inline output, which stands in it twice."""
    message = operation(job, 0)
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
                yield block.replace(b"\n", b",")
        yield _CLOSE
        yield piece


def _stats(job: JobRecord, pending: int) -> dict[str, str]:
    counts = {"requestCount": job.total}
    if job.state in (PENDING, RUNNING):
        counts["pendingRequestCount"] = pending
    counts["successfulRequestCount"] = job.succeeded
    counts["failedRequestCount"] = job.failed
    return {name: str(count) for name, count in counts.items() if count}


def _done_by_fault(job: JobRecord) -> bool:
    return any(fault["do"] == "state" and fault.get("done") for fault in job.faults)
