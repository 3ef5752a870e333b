"""Batch jobs of a project: creation under quotas, lists, cancel, delete, update."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reembed_emulator import errors
from reembed_emulator.errors import exhausted, invalid, no_such_batch
from reembed_emulator.faults import Faults
from reembed_emulator.files import Files, new_id
from reembed_emulator.messages import Batch, EmbedRequest, InlinedRequest, InputConfig
from reembed_emulator.rows import InputSummary, scan_input
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import CANCELLED, Clock, JobRecord, StateFolder

# Confirmed: a .jsonl input needs its type given; these are the types of the vendor's examples.
_INPUT_TYPES = frozenset({"application/jsonl", "jsonl"})
_ID_LENGTH = 36
CountTokens = Callable[[EmbedRequest, str], int]


@dataclasses.dataclass(frozen=True, slots=True)
class _NewJob:
    id: str
    model: str
    batch: Batch
    file_id: str


class Jobs:
    """Batch jobs; every change of an active one goes through `change` and is on disk at once."""

    def __init__(
        self, state: StateFolder, clock: Clock, settings: EmulatorSettings, files: Files
    ) -> None:
        self._state = state
        self._clock = clock
        self._settings = settings
        self._files = files
        self._lock = threading.RLock()
        self._jobs = {record.id: record for record in state.load("jobs", JobRecord)}
        # Numbers order the list and name jobs in faults, so they go on after a restart.
        self._number = max((job.number for job in self._jobs.values()), default=0)

    def create(
        self, model: str, batch: Batch, count_tokens: CountTokens, faults: Faults
    ) -> JobRecord:
        """Create a job; its input is scanned here.

        Each call makes a job of its own: the service has no client token that would make a
        repeated create harmless (confirmed).

        Raises:
            ApiError: 400 for a bad batch, 404 for a missing input file, 429 above a quota.
        """
        source = _check_batch(batch, model)
        file_id = self._input_file(source)
        wanted = _NewJob(new_id(_ID_LENGTH), model, batch, file_id)
        inline_input = self._state.data("jobs", wanted.id, "input")
        try:
            if not file_id and source.requests is not None:
                inline_input.write_bytes(_inline_lines(source.requests.requests or ()))
            path = self._files.path(file_id) if file_id else inline_input
            found = scan_input(
                path, model, not file_id, lambda request: count_tokens(request, model)
            )
            # Bad inline requests are refused at once; bad lines of a file fail the job when it
            # starts, and cost nothing.
            if found.problem and not file_id:
                raise invalid(found.problem)
            return self._admit(wanted, found, faults)
        except BaseException:
            inline_input.unlink(missing_ok=True)
            raise

    def _admit(self, wanted: _NewJob, found: InputSummary, faults: Faults) -> JobRecord:
        """Check the quotas and save the job in one step, so that two creates see each other."""
        with self._lock:
            active = [job for job in self._jobs.values() if job.active]
            tokens = sum(job.tokens for job in active) + found.tokens
            # Deleted jobs still count while they are active (assumed).
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
                display_name=wanted.batch.display_name or "",
                created=now,
                updated=now,
                file_id=wanted.file_id,
                priority=wanted.batch.priority or 0,
                total=found.total,
                tokens=found.tokens,
                problem=found.problem,
                faults=faults.of_job(self._number),
            )
            return self._save(record)

    def _input_file(self, source: InputConfig) -> str:
        """Return the id of the input file, empty for inline requests."""
        name = source.file_name
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
        """Return the jobs; `listed` leaves out deleted ones and those within the list lag."""
        with self._lock:
            jobs = sorted(self._jobs.values(), key=lambda job: -job.number)
        if not listed:
            return jobs
        shown = self._clock.now() - self._settings.list_lag_seconds
        return [job for job in jobs if not job.deleted and job.created <= shown]

    def active(self) -> list[JobRecord]:
        """Return pending and running jobs, higher priority first, then older first."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.active]
        # Confirmed: a higher priority runs first among a project's own batches.
        return sorted(jobs, key=lambda job: (-job.priority, job.number))

    def cancel(self, job_id: str) -> None:
        """Cancel a job that is still active; a finished one stays as it is."""
        # Cancelling is best effort on the service (confirmed): no error for one that has ended.
        with self._lock:
            self.get(job_id)
            error = {"code": errors.CANCELLED, "message": "The batch was cancelled."}
            self.change(job_id, state=CANCELLED, ended=self._clock.now(), error=error)
        self._state.data("jobs", job_id, "input").unlink(missing_ok=True)

    def delete(self, job_id: str) -> None:
        """Hide a job; it goes on running and counts against the quotas."""
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
            # The engine and a cancel race for the last change: the first one wins, and an ended
            # job never changes its state again.
            if not found.active:
                return None
            return self._save(dataclasses.replace(found, updated=self._clock.now(), **fields))

    def _save(self, record: JobRecord) -> JobRecord:
        self._state.save("jobs", record.id, record)
        self._jobs[record.id] = record
        return record


def _check_batch(batch: Batch, model: str) -> InputConfig:
    # Confirmed: the schema requires a display name.
    if not batch.display_name:
        raise invalid("* AsyncBatchEmbedContentRequest.batch.display_name: is required")
    if batch.model is not None and batch.model != f"models/{model}":
        raise invalid(f"batch.model {batch.model!r} is not the model of the URL, 'models/{model}'")
    source = batch.input_config or InputConfig()
    if (source.requests is None) == (source.file_name is None):
        raise invalid(
            "* AsyncBatchEmbedContentRequest.batch.input_config: exactly one of requests and "
            "file_name is required"
        )
    if source.requests is not None and not source.requests.requests:
        raise invalid("* batch.input_config.requests.requests: at least one request is required")
    return source


def _inline_lines(requests: Sequence[InlinedRequest]) -> bytes:
    lines = (request.model_dump_json(exclude_unset=True) for request in requests)
    return "".join(f"{line}\n" for line in lines).encode()
