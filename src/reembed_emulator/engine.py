"""The thread that moves jobs from state to state and does their work."""

from __future__ import annotations

import os
import threading
from typing import Any

from reembed_emulator.clock import Clock
from reembed_emulator.errors import NOT_FOUND, ApiError
from reembed_emulator.execution import Execution, Tools
from reembed_emulator.files import Files
from reembed_emulator.jobs import Jobs
from reembed_emulator.records import (
    EXPIRED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    JobRecord,
)
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import StateFolder

_IDLE_SECONDS = 0.02
_DEADLINE_EXCEEDED = 4
_INTERNAL = 13


class Engine:
    """Advance all active jobs in turns, a piece of work each, until stopped."""

    def __init__(
        self, jobs: Jobs, files: Files, state: StateFolder, clock: Clock, settings: EmulatorSettings
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._state = state
        self._clock = clock
        self._settings = settings
        self._executions: dict[str, Execution] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, tools: Tools) -> None:
        """Begin; jobs that were in flight when the last emulator ended go on."""
        self._tools = tools
        self._thread = threading.Thread(target=self._run, name="emulator-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the piece of work at hand."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for job_id in list(self._executions):
            self._drop(job_id)

    def wake(self) -> None:
        """Look at the jobs now."""
        self._wake.set()

    def progress(self, job: JobRecord) -> int:
        """Return how many rows of a running job still wait, as its statistics tell it."""
        if job.state != RUNNING:
            return job.total if job.state == PENDING else 0
        execution = self._executions.get(job.id)
        done = execution.done / max(1, job.total) if execution is not None else 0.0
        spent = max(0.0, self._clock.now() - job.started)
        told = min(done, spent / max(self._settings.running_seconds, 1e-9))
        return job.total - int(job.total * told)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            active = self._jobs.active()
            for gone in self._executions.keys() - {job.id for job in active}:
                self._drop(gone)
            worked = [self._advance_safely(job) for job in active if not self._stop.is_set()]
            if not any(worked):
                self._wake.wait(_IDLE_SECONDS)

    def _advance_safely(self, job: JobRecord) -> bool:
        # The one place that catches everything: a job that cannot be worked on ends as an internal
        # error, as on the service, and the others go on.
        try:
            return self._advance(job)
        except Exception as err:
            error = {"code": _INTERNAL, "message": f"Internal error encountered: {err!r}"}
            return self._end(job, FAILED, error=error)

    def _advance(self, job: JobRecord) -> bool:
        """Take one job a step on; return whether there was something to do."""
        now = self._clock.now()
        if now >= job.created + self._settings.job_expiry_hours * 3600:
            error = {"code": _DEADLINE_EXCEEDED, "message": "The batch has expired."}
            return self._end(job, EXPIRED, error=error)
        if job.state == PENDING:
            return self._begin(job, now)
        execution = self._executions.get(job.id) or self._open(job)
        if not execution.finished:
            execution.step()
            return True
        if now < job.started + self._settings.running_seconds:
            return False
        return self._finish(job, execution)

    def _begin(self, job: JobRecord, now: float) -> bool:
        faults = {fault["do"]: fault for fault in job.faults}
        if "stuck" in faults or now < job.created + self._settings.pending_seconds:
            return False
        if "state" in faults:
            return self._end(job, faults["state"]["state"])
        error = self._refusal(job, faults)
        if error is not None:
            return self._end(job, FAILED, error=error)
        return self._jobs.change(job.id, state=RUNNING, started=now) is not None

    def _refusal(self, job: JobRecord, faults: dict[str, Any]) -> dict[str, Any] | None:
        if "fail_job" in faults:
            code = int(faults["fail_job"].get("code", 13))
            message = faults["fail_job"].get("message", f"Injected failure of code {code}.")
            return {"code": code, "message": message}
        if job.problem:
            return {"code": 3, "message": job.problem}
        return self._take_input(job)

    def _take_input(self, job: JobRecord) -> dict[str, Any] | None:
        """Keep the input by a second link: from here on the user may delete the file."""
        if not job.file_id:
            return None
        taken = self._state.data("jobs", job.id, "input")
        try:
            self._files.get(job.file_id)
            if not taken.exists():
                os.link(self._files.path(job.file_id), taken)
        except (ApiError, FileNotFoundError):
            message = f"The input file files/{job.file_id} was not found or has expired."
            return {"code": NOT_FOUND, "message": message}
        return None

    def _open(self, job: JobRecord) -> Execution:
        source = self._state.data("jobs", job.id, "input")
        target = self._state.data("jobs", job.id, "partial")
        self._executions[job.id] = Execution(job, source, target, self._tools)
        return self._executions[job.id]

    def _finish(self, job: JobRecord, execution: Execution) -> bool:
        execution.close()
        partial = self._state.data("jobs", job.id, "partial")
        if job.file_id:
            record = self._files.record(job.result_id, "", "application/jsonl", partial, True)
            self._files.add(partial, record)
        else:
            os.replace(partial, self._state.data("jobs", job.id, "output"))
        ended = self._end(
            job,
            SUCCEEDED,
            succeeded=execution.succeeded,
            failed=execution.failed,
            billed_rows=execution.succeeded,
            billed_tokens=execution.tokens,
        )
        if not ended:
            # Cancelled in the last moment: a cancelled job keeps no output.
            self._files.discard(job.result_id)
            self._state.data("jobs", job.id, "output").unlink(missing_ok=True)
        return True

    def _end(self, job: JobRecord, state: str, **fields: Any) -> bool:
        changed = self._jobs.change(job.id, state=state, ended=self._clock.now(), **fields)
        self._drop(job.id)
        return changed is not None

    def _drop(self, job_id: str) -> None:
        execution = self._executions.pop(job_id, None)
        if execution is not None:
            execution.close()
        for suffix in ("input", "partial"):
            if not self._stop.is_set():
                self._state.data("jobs", job_id, suffix).unlink(missing_ok=True)
