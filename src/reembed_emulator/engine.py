"""Execution of jobs: a thread moves them from state to state and works through their rows."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from reembed_emulator.embedder import Embedder, FastVectors
from reembed_emulator.errors import (
    DEADLINE_EXCEEDED,
    INTERNAL,
    INVALID_ARGUMENT,
    NOT_FOUND,
    ApiError,
    RowError,
)
from reembed_emulator.faults import (
    FailJob,
    JobFault,
    RowFaults,
    ShowState,
    Stuck,
    find_fault,
    parse_job_faults,
)
from reembed_emulator.files import Files
from reembed_emulator.jobs import Jobs
from reembed_emulator.models import MODELS, Resolve
from reembed_emulator.rows import Answer, Row, line_starts, read_row, render
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import (
    EXPIRED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Clock,
    JobRecord,
    StateFolder,
)

_IDLE_SECONDS = 0.02
# Small steps let the jobs take turns, and let the emulator stop soon.
_ROWS_A_STEP = 256
_BYTES_A_STEP = 4_000_000


class Engine:
    """Thread that advances all active jobs in turns, one step each, until stopped."""

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

    def start(self, context: ExecutionContext) -> None:
        """Begin; jobs that were in flight when the last emulator ended go on."""
        self._context = context
        self._thread = threading.Thread(target=self._run, name="emulator-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the current step."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for job_id in list(self._executions):
            self._drop(job_id)

    def wake(self) -> None:
        """Look at the jobs now."""
        self._wake.set()

    def pending_rows(self, job: JobRecord) -> int:
        """Return the rows still to do, as `batchStats` reports them.

        The only progress that a client can see inside a job (confirmed), so it falls over the
        running time even though the work itself is done at once.
        """
        if job.state != RUNNING:
            return job.total if job.state == PENDING else 0
        execution = self._executions.get(job.id)
        done = execution.done / max(1, job.total) if execution is not None else 0.0
        elapsed = max(0.0, self._clock.now() - job.started)
        shown = min(done, elapsed / max(self._settings.running_seconds, 1e-9))
        return job.total - int(job.total * shown)

    def _run(self) -> None:
        while not self._stop.is_set():
            # Cleared before the look at the jobs: a wake during it is not lost.
            self._wake.clear()
            active = self._jobs.active()
            for gone in self._executions.keys() - {job.id for job in active}:
                self._drop(gone)
            worked = [self._advance_safely(job) for job in active if not self._stop.is_set()]
            if not any(worked):
                self._wake.wait(_IDLE_SECONDS)

    def _advance_safely(self, job: JobRecord) -> bool:
        # The one place that catches everything: a job that cannot be worked on ends with an
        # internal error, as on the service, and the others go on.
        try:
            return self._advance(job)
        except Exception as err:
            error = {"code": INTERNAL, "message": f"Internal error encountered: {err!r}"}
            return self._end(job, FAILED, error=error)

    def _advance(self, job: JobRecord) -> bool:
        """Take one job a step on; return whether there was something to do."""
        now = self._clock.now()
        # Pending and running time count together, and an expired job has no results (confirmed).
        if now >= job.created + self._settings.job_expiry_hours * 3600:
            error = {"code": DEADLINE_EXCEEDED, "message": "The batch has expired."}
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
        faults = parse_job_faults(job.faults)
        pending = now < job.created + self._settings.pending_seconds
        if pending or find_fault(faults, Stuck) is not None:
            return False
        shown = find_fault(faults, ShowState)
        if shown is not None:
            return self._end(job, shown.state)
        error = self._refusal(job, faults)
        if error is not None:
            return self._end(job, FAILED, error=error)
        return self._jobs.change(job.id, state=RUNNING, started=now) is not None

    def _refusal(self, job: JobRecord, faults: Sequence[JobFault]) -> dict[str, Any] | None:
        """Return the error of a job that fails at its start."""
        fault = find_fault(faults, FailJob)
        if fault is not None:
            return fault.status("failure")
        if job.problem:
            return {"code": INVALID_ARGUMENT, "message": job.problem}
        return self._take_input(job)

    def _take_input(self, job: JobRecord) -> dict[str, Any] | None:
        """Keep the input by a second link: from here on the client may delete the file."""
        if not job.file_id:
            return None
        taken = self._state.data("jobs", job.id, "input")
        try:
            self._files.get(job.file_id)
            # It exists if the emulator was killed between the link and the change of state.
            if not taken.exists():
                os.link(self._files.path(job.file_id), taken)
        except (ApiError, FileNotFoundError):
            # A file lives 48 hours and a job may wait as long, so an input can be gone.
            message = f"The input file files/{job.file_id} was not found or has expired."
            return {"code": NOT_FOUND, "message": message}
        return None

    def _open(self, job: JobRecord) -> Execution:
        source = self._state.data("jobs", job.id, "input")
        # After a restart the work begins anew; embedding is deterministic, so the result is equal.
        target = self._state.data("jobs", job.id, "partial")
        self._executions[job.id] = Execution(job, source, target, self._context)
        return self._executions[job.id]

    def _finish(self, job: JobRecord, execution: Execution) -> bool:
        """Publish the output, then the state: a client that sees the end finds the output."""
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
        # A stopping emulator leaves the input: the job goes on when the folder is served again.
        for suffix in ("input", "partial"):
            if not self._stop.is_set():
                self._state.data("jobs", job_id, suffix).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Tools and habits that the executions of all jobs share."""

    embedder: Embedder
    fast: FastVectors | None
    resolve: Resolve
    shuffle: bool
    echo_metadata: bool


class Execution:
    """Work on one job: from its input lines to a file of answers, a step at a time."""

    def __init__(
        self, job: JobRecord, source: Path, target: Path, context: ExecutionContext
    ) -> None:
        self._job = job
        self._context = context
        self._model = MODELS[job.model]
        self._starts = line_starts(source)
        self._order = _order(job, len(self._starts) - 1, context.shuffle)
        self._faults = RowFaults(parse_job_faults(job.faults))
        self._input = source.open("rb")
        self._output = target.open("wb")
        self.done = 0
        self.succeeded = 0
        self.failed = 0
        self.tokens = 0

    @property
    def finished(self) -> bool:
        """Return whether all rows were worked on."""
        return self.done == len(self._order)

    def step(self) -> None:
        """Work on the next rows: at most 256 of them or about 4 MB of input."""
        chosen = self._next()
        rows = [self._read(index) for index in chosen]
        for answer in self._answers(chosen, rows):
            self._count(answer)
            self._write(self._faults.apply(answer))
        self.done += len(chosen)
        if self.finished:
            # A row fault may have kept back an answer that waits for a neighbour.
            self._write(self._faults.rest())
            self._output.flush()

    def close(self) -> None:
        """Close the files; written answers stay."""
        self._input.close()
        self._output.close()

    def _next(self) -> list[int]:
        chosen: list[int] = []
        size = 0
        for index in self._order[self.done : self.done + _ROWS_A_STEP]:
            size += self._starts[index + 1] - self._starts[index]
            if chosen and size > _BYTES_A_STEP:
                break
            chosen.append(index)
        return chosen

    def _read(self, index: int) -> Row:
        start, stop = self._starts[index], self._starts[index + 1]
        self._input.seek(start)
        return read_row(self._input.read(stop - start), self._job.model, not self._job.file_id)

    def _answers(self, chosen: Sequence[int], rows: Sequence[Row]) -> list[Answer]:
        context = self._context
        if context.fast is not None:
            return [self._fast(index, row) for index, row in zip(chosen, rows, strict=True)]
        requests = [row.request for row in rows]
        results = context.embedder.embed(requests, self._model, context.resolve)
        answers = []
        for index, row, result in zip(chosen, rows, results, strict=True):
            if isinstance(result, RowError):
                answers.append(self._answer(index, row, None, 0, result))
                continue
            values = orjson.dumps(result.values, option=orjson.OPT_SERIALIZE_NUMPY)
            answers.append(self._answer(index, row, values, result.tokens))
        return answers

    def _fast(self, index: int, row: Row) -> Answer:
        assert self._context.fast is not None
        try:
            values, tokens = self._context.fast.embed(
                row.request, self._model, self._context.resolve
            )
        except RowError as err:
            return self._answer(index, row, None, 0, err)
        return self._answer(index, row, values, tokens)

    def _answer(
        self, index: int, row: Row, values: bytes | None, tokens: int, err: RowError | None = None
    ) -> Answer:
        # In the schema both ways, but an echo for embeddings was not seen live, and one report
        # says that metadata were lost (python-genai #2008): hence a setting.
        metadata = row.metadata if self._context.echo_metadata else None
        return Answer(index, row.key, metadata, values, tokens, err.status() if err else None)

    def _count(self, answer: Answer) -> None:
        # Assumed, not documented: failed rows are not billed.
        failed = answer.error is not None or self._faults.fails(answer.index)
        self.failed += failed
        self.succeeded += not failed
        self.tokens += 0 if failed else answer.tokens

    def _write(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self._output.write(render(answer))


def _order(job: JobRecord, total: int, shuffle: bool) -> list[int]:
    """Return the order of the answers.

    Reported (python-genai #1909, js-genai #1207): answers of large jobs come in another order
    than the input's, although the schema promises the input's.
    """
    if not shuffle or total < 2:
        return list(range(total))
    # The name alone decides: a repeated run gets its answers in the same order.
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(job.display_name.encode())))
    order: list[int] = generator.permutation(total).tolist()
    return order if order != list(range(total)) else order[::-1]
