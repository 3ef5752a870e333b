"""Control calls of the emulator itself, for tests: counts, jobs, the clock, faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from reembed_emulator.backend import Backend
from reembed_emulator.errors import invalid
from reembed_emulator.http import read_body, reply
from reembed_emulator.state import JobRecord

_MAX_BODY = 1_000_000


async def requests(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with the counts of requests by method, route and status."""
    rows = backend.journal.summary()
    return reply({"counts": rows, "total": sum(row["count"] for row in rows)})


async def jobs(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with all jobs, deleted ones too, oldest first, and the tokens they are billed."""
    records = list(reversed(backend.jobs.newest_first(listed=False)))
    return reply(
        {
            "jobs": [_job(record) for record in records],
            "billed_rows": sum(record.billed_rows for record in records),
            "billed_tokens": sum(record.billed_tokens for record in records),
            "file_bytes": backend.files.used_bytes(),
        }
    )


async def advance(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Move the clock forward by `seconds`."""
    loaded = await _json(request)
    seconds = loaded.get("seconds") if isinstance(loaded, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise invalid(f"seconds must be a number from 0, got {seconds!r}")
    backend.advance(seconds)
    return reply({"now": backend.clock.now(), "offset": backend.clock.offset})


async def get_faults(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with the active faults."""
    return reply({"faults": backend.faults.specs()})


async def set_faults(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Activate a list of faults instead of all others; an empty list ends them."""
    loaded = await _json(request)
    faults = loaded.get("faults") if isinstance(loaded, dict) else loaded
    if not isinstance(faults, list):
        raise invalid("the body must be a list of faults, or an object with the list as 'faults'")
    try:
        backend.faults.replace(faults)
    except ValueError as err:
        raise invalid(str(err)) from err
    return reply({"faults": backend.faults.specs()})


def _job(record: JobRecord) -> dict[str, Any]:
    shown = dataclasses.asdict(record)
    return {"name": record.name, "kind": "file" if record.file_id else "inline", **shown}


async def _json(request: Request) -> Any:
    try:
        return orjson.loads(await read_body(request, _MAX_BODY))
    except orjson.JSONDecodeError as err:
        raise invalid(f"the body is not JSON: {err}") from err
