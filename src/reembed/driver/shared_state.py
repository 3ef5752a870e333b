"""Shared state of all shards in one process, kept up to date by the threads of its lanes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from reembed.driver.clock import Clock
from reembed.machine.halts import JobEndings, halt_after_refusals
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Reservations
from reembed.machine.rules import ListedJob, SharedState, jobs_by_attempt
from reembed.machine.snapshot import ShardRecords
from reembed.providers.base import Job


def listed_jobs(run: str, jobs: Iterable[Job]) -> list[ListedJob]:
    """Return the jobs of a run among those that a service lists."""
    found = (
        ListedJob.of(
            run,
            job.name,
            job.display_name,
            create_time=job.create_time,
            input_file=job.input_file,
            state=job.state,
            done=job.done,
        )
        for job in jobs
    )
    return [job for job in found if job is not None]


class SharedStateStore:
    """Holds the `SharedState` of a process; every method is safe among the threads of a lane.

    Args:
        run: id of the run.
        quotas: as configured.
        clock: of this process.
        offset: seconds from the clock to the storage's, measured once at the start.
    """

    def __init__(self, run: str, quotas: Quotas, clock: Clock, offset: float) -> None:
        self._run, self.quotas, self._clock, self._offset = run, quotas, clock, offset
        self._lock = threading.Lock()
        self._shared = SharedState(clock.now(), 0.0, Reservations(), quotas)
        self._endings = JobEndings()

    def current(self) -> SharedState:
        """Return the shared state at this moment."""
        now = self._clock.now()
        with self._lock:
            shared = self._shared
        storage_now = now + self._offset
        quotas = shared.reservations.quotas_under(self.quotas, storage_now)
        return replace(shared, now=now, storage_now=storage_now, quotas=quotas)

    def storage_now(self) -> float:
        """Return the storage's clock, from its distance to ours at the start."""
        return self._clock.now() + self._offset

    def set_reservations(self, reservations: Reservations, refreshed_for: str = "") -> None:
        """Take in the reservation log as just read, for the attempt `refreshed_for`."""
        at = self._clock.now()

        def read(shared: SharedState) -> dict[str, Any]:
            known = shared.reservations_changed_at
            unchanged = reservations.lines == shared.reservations.lines and known > float("-inf")
            return {
                "reservations": reservations,
                "reservations_read_at": at,
                "refreshed_for": refreshed_for,
                "reservations_changed_at": known if unchanged else at,
            }

        self._change(read)

    def expect_reservations(self) -> None:
        """Note that something is about to change what is reserved."""
        at = self._clock.now()
        self._change(lambda shared: {"reservations_changed_at": at})

    def set_stopped(self, stopped: bool) -> None:
        """Take in the stop records as just read."""
        self._change(lambda shared: {"stopped": stopped})

    def halt(self, reason: str) -> None:
        """Create no more in this process, unless `reason` is empty; the first reason stands."""
        if reason:
            self._change(lambda shared: {"halted": shared.halted or reason})

    def set_listed_jobs(self, jobs: Iterable[Job], began: float) -> None:
        """Take in the remote jobs as listed; those of this run are kept by shard and attempt.

        A job that came to be while the pages were read may be missing, so the moment that counts
        is when the listing `began`.
        """
        found = jobs_by_attempt(listed_jobs(self._run, jobs))
        self._change(lambda shared: {"listed_at": began, "listed_jobs": found})

    def count_job_end(self, state: str, error_code: int) -> None:
        """Count the end of a job; may halt."""
        with self._lock:
            self._endings = self._endings.add(state, error_code)
            reason = halt_after_refusals(self._endings)
        self.halt(reason)

    def count_recorded(self, records: ShardRecords) -> None:
        """Count the outcomes that an earlier call recorded."""
        with self._lock:
            self._endings = self._endings.add_recorded(records)

    def _change(self, changes: Callable[[SharedState], dict[str, Any]]) -> None:
        with self._lock:
            self._shared = replace(self._shared, **changes(self._shared))
