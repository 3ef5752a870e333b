"""The project's batch jobs: creation under quotas, lists, cancel, delete, update."""

from __future__ import annotations

import base64
import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from reembed_emulator.clock import Clock
from reembed_emulator.errors import exhausted, invalid, no_such_batch
from reembed_emulator.faults import Faults
from reembed_emulator.files import Files, new_id
from reembed_emulator.inputs import Scan, scan
from reembed_emulator.records import CANCELLED, JobRecord
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import StateFolder

# What the vendor's examples upload; application/json and text/plain are refused.
_INPUT_TYPES = frozenset({"application/jsonl", "jsonl"})
_ID_LENGTH = 36
CountTokens = Callable[[Mapping[str, Any], str], int]


class Jobs:
    """Keep the batch jobs; every change of one goes through `change` and is on disk at once."""

    def __init__(
        self, state: StateFolder, clock: Clock, settings: EmulatorSettings, files: Files
    ) -> None:
        self._state = state
        self._clock = clock
        self._settings = settings
        self._files = files
        self._lock = threading.RLock()
        self._jobs = {record.id: record for record in state.load("jobs", JobRecord)}
        # Numbers in use, also by creations that are still on their way through the scan.
        self._number = max((job.number for job in self._jobs.values()), default=0)

    def create(
        self, model: str, batch: Mapping[str, Any], count_tokens: CountTokens, faults: Faults
    ) -> JobRecord:
        """Create a job from a parsed `EmbedContentBatch`; its input is scanned here.

        Raises:
            ApiError: 400 for a bad batch, 404 for a missing input file, 429 above a quota.
        """
        _check_batch(batch, model)
        source = batch["input_config"]
        job_id = new_id(_ID_LENGTH)
        file_id = self._input_file(source)
        try:
            path = self._files.path(file_id)
            if not file_id:
                path = self._state.data("jobs", job_id, "input")
                path.write_bytes(_inline_lines(source["requests"]["requests"]))
            found = scan(path, model, not file_id, lambda request: count_tokens(request, model))
            if found.problem and not file_id:
                raise invalid(found.problem)
            return self._admit(_Wanted(job_id, model, batch, file_id), found, faults)
        except BaseException:
            self._state.data("jobs", job_id, "input").unlink(missing_ok=True)
            raise

    def _admit(self, wanted: _Wanted, found: Scan, faults: Faults) -> JobRecord:
        with self._lock:
            active = [job for job in self._jobs.values() if job.active]
            tokens = sum(job.tokens for job in active) + found.tokens
            if len(active) >= self._settings.concurrent_jobs:
                raise exhausted()
            if tokens > self._settings.enqueued_tokens:
                raise exhausted()
            now = self._clock.now()
            self._number += 1
            record = JobRecord(
                id=wanted.id,
                number=self._number,
                model=wanted.model,
                display_name=wanted.batch["display_name"],
                created=now,
                updated=now,
                file_id=wanted.file_id,
                priority=wanted.batch.get("priority", 0),
                total=found.total,
                tokens=found.tokens,
                problem=found.problem,
                faults=faults.of_job(self._number),
            )
            return self._save(record)

    def _input_file(self, source: Mapping[str, Any]) -> str:
        name = source.get("file_name")
        if name is None:
            return ""
        if not name.startswith("files/"):
            raise invalid(f"batch.input_config.file_name must begin with 'files/', got {name!r}")
        file = self._files.get(name.removeprefix("files/"))
        if file.mime_type not in _INPUT_TYPES:
            raise invalid(
                f"Unsupported MIME type {file.mime_type!r} of the input file {name}: "
                "upload it as application/jsonl"
            )
        return file.id

    def get(self, job_id: str) -> JobRecord:
        """Return a job that was not deleted; raise ApiError 404 otherwise."""
        found = self._jobs.get(job_id)
        if found is None or found.deleted:
            raise no_such_batch(f"batches/{job_id}")
        return found

    def newest_first(self, listed: bool = True) -> list[JobRecord]:
        """Return the jobs; `listed` leaves out deleted ones and those not shown yet."""
        with self._lock:
            jobs = sorted(self._jobs.values(), key=lambda job: -job.number)
        if not listed:
            return jobs
        shown = self._clock.now() - self._settings.list_lag_seconds
        return [job for job in jobs if not job.deleted and job.created <= shown]

    def active(self) -> list[JobRecord]:
        """Return what is pending or running, higher priority first, then older first."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.active]
        return sorted(jobs, key=lambda job: (-job.priority, job.number))

    def cancel(self, job_id: str) -> None:
        """Cancel a job that is still active; a finished one stays as it is."""
        with self._lock:
            self.get(job_id)
            error = {"code": 1, "message": "The batch was cancelled."}
            self.change(job_id, state=CANCELLED, ended=self._clock.now(), error=error)
        self._state.data("jobs", job_id, "input").unlink(missing_ok=True)

    def delete(self, job_id: str) -> None:
        """Take a job out of sight; it is not cancelled by that."""
        with self._lock:
            self._save(dataclasses.replace(self.get(job_id), deleted=True))

    def update(self, job_id: str, fields: Mapping[str, Any]) -> JobRecord:
        """Set the display name or the priority."""
        with self._lock:
            found = self.get(job_id)
            now = self._clock.now()
            return self._save(dataclasses.replace(found, updated=now, **fields))

    def change(self, job_id: str, **fields: Any) -> JobRecord | None:
        """Change an active job; return it, or None if it has ended meanwhile."""
        with self._lock:
            found = self._jobs[job_id]
            if not found.active:
                return None
            return self._save(dataclasses.replace(found, updated=self._clock.now(), **fields))

    def _save(self, record: JobRecord) -> JobRecord:
        self._state.save("jobs", record.id, record)
        self._jobs[record.id] = record
        return record


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    id: str
    model: str
    batch: Mapping[str, Any]
    file_id: str


def _check_batch(batch: Mapping[str, Any], model: str) -> None:
    if not batch.get("display_name"):
        raise invalid("* AsyncBatchEmbedContentRequest.batch.display_name: is required")
    named = batch.get("model")
    if named is not None and named != f"models/{model}":
        raise invalid(f"batch.model {named!r} is not the model of the URL, 'models/{model}'")
    source = batch.get("input_config", {})
    if ("requests" in source) == ("file_name" in source):
        raise invalid(
            "* AsyncBatchEmbedContentRequest.batch.input_config: exactly one of requests and "
            "file_name is required"
        )
    if "requests" in source and not source["requests"].get("requests"):
        raise invalid("* batch.input_config.requests.requests: at least one request is required")


def _inline_lines(requests: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(request, default=_encode) + b"\n" for request in requests)


def _encode(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
