"""State folder of a project: records as JSON, bytes beside them, the clock, the request journal."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson

SCHEMA = 1

PENDING = "BATCH_STATE_PENDING"
RUNNING = "BATCH_STATE_RUNNING"
SUCCEEDED = "BATCH_STATE_SUCCEEDED"
FAILED = "BATCH_STATE_FAILED"
CANCELLED = "BATCH_STATE_CANCELLED"
EXPIRED = "BATCH_STATE_EXPIRED"

ACTIVE = frozenset({PENDING, RUNNING})
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED})

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Stored file; `id` lacks the `files/` prefix, times are seconds since 1970."""

    id: str
    display_name: str
    mime_type: str
    size: int
    created: float
    expires: float
    sha256: str
    generated: bool = False

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"files/{self.id}"


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """Resumable upload; `status` is active, final or cancelled."""

    id: str
    file_id: str
    display_name: str
    mime_type: str
    size: int
    status: str = "active"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Batch job.

    Attributes:
        id: Without the `batches/` prefix.
        number: Count of creations in this state folder, from 1; newer is higher.
        file_id: The input file; empty for an inline job.
        total: Requests in the input, blank or invalid lines included.
        tokens: Enqueued tokens, estimated at creation.
        problem: Problem of an input line; found at creation, reported when the job starts.
        faults: Faults that apply to this job, fixed at creation.
        billed_rows: Requests paid for.
        billed_tokens: Tokens paid for.
    """

    id: str
    number: int
    model: str
    display_name: str
    created: float
    updated: float
    file_id: str = ""
    priority: int = 0
    state: str = PENDING
    started: float = 0.0
    ended: float = 0.0
    total: int = 0
    tokens: int = 0
    problem: str = ""
    error: dict[str, Any] | None = None
    succeeded: int = 0
    failed: int = 0
    billed_rows: int = 0
    billed_tokens: int = 0
    deleted: bool = False
    faults: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"batches/{self.id}"

    @property
    def active(self) -> bool:
        """Return whether the job counts against the quotas."""
        return self.state in ACTIVE

    @property
    def result_id(self) -> str:
        """Return the id of the result file: 42 characters, two more than `delete` accepts."""
        return f"batch-{self.id}"


class StateFolder:
    """Records and bytes under one folder, which a restarted emulator reads again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in ("files", "uploads", "jobs"):
            (root / kind).mkdir(parents=True, exist_ok=True)

    @property
    def journal(self) -> Path:
        """Return the path of the request journal."""
        return self.root / "requests.jsonl"

    def data(self, kind: str, name: str, suffix: str) -> Path:
        """Return the path of the bytes that belong to a record."""
        return self.root / kind / f"{name}.{suffix}"

    def save(self, kind: str, name: str, record: Any) -> None:
        """Write a record atomically."""
        self._write(self.root / kind / f"{name}.json", dataclasses.asdict(record))

    def remove(self, kind: str, name: str, *suffixes: str) -> None:
        """Delete a record and its bytes."""
        # The record goes first: killed in between, bytes without a record do no harm, but a
        # record without bytes would be served.
        for suffix in ("json", *suffixes):
            self.data(kind, name, suffix).unlink(missing_ok=True)

    def load(self, kind: str, make: type[Record]) -> list[Record]:
        """Read all records of a kind, in the order of their names."""
        paths = sorted((self.root / kind).glob("*.json"))
        return [make(**orjson.loads(path.read_bytes())) for path in paths]

    def offset(self) -> float:
        """Return how far the clock was moved forward, in seconds.

        Raises:
            ValueError: The folder was written in a schema that this version does not know.
        """
        path = self.root / "state.json"
        if not path.exists():
            self.save_offset(0.0)
        state = orjson.loads(path.read_bytes())
        if state.get("schema") != SCHEMA:
            raise ValueError(
                f"{path} has schema {state.get('schema')}, this version reads {SCHEMA}: "
                "give another state folder"
            )
        return float(state["offset"])

    def save_offset(self, offset: float) -> None:
        """Record how far the clock was moved forward."""
        self._write(self.root / "state.json", {"schema": SCHEMA, "offset": offset})

    def _write(self, path: Path, value: dict[str, Any]) -> None:
        # Renamed into place, so that a kill at any moment leaves the old record or the new one.
        temporary = path.with_suffix(".json.tmp")
        temporary.write_bytes(orjson.dumps(value))
        os.replace(temporary, path)


class Clock:
    """Time of the emulated service: real time plus what a test has skipped."""

    def __init__(self, offset: float = 0.0, now: Callable[[], float] = time.time) -> None:
        self.offset = offset
        self._now = now

    def now(self) -> float:
        """Return the current time in seconds since 1970."""
        return self._now() + self.offset

    def advance(self, seconds: float) -> None:
        """Move forward; raise ValueError for a step backward."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: the clock moves forward only")
        self.offset += seconds


def timestamp(seconds: float) -> str:
    """Return RFC 3339 text in UTC with nine digits, as the service writes it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"


class Journal:
    """Request log, one line of JSON a request, and counts by method, route and status.

    Queries and headers stay out of it, since they may carry the API key.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._stream = path.open("ab", buffering=0)
        self.counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, entry: dict[str, Any]) -> None:
        """Record one request; status 0 means that no answer was sent."""
        with self._lock:
            self.counts[entry["method"], entry["route"], entry["status"]] += 1
            self._stream.write(orjson.dumps(entry) + b"\n")

    def count(self, route: str, status: int | None = None) -> int:
        """Return the number of requests of a route, with one status or with any."""
        with self._lock:
            return sum(
                times
                for (_, name, code), times in self.counts.items()
                if name == route and status in (None, code)
            )

    def summary(self) -> list[dict[str, Any]]:
        """Return the counts as rows."""
        with self._lock:
            return [
                {"method": method, "route": route, "status": status, "count": times}
                for (method, route, status), times in sorted(self.counts.items())
            ]

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
