"""Shared state of all shards in one process: reservation log, stops, last job list."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from reembed.driver.clock import Clock
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Reservations
from reembed.machine.rules import Found, SharedState
from reembed.providers.base import Job

# So many jobs refused as malformed, with none that came through, speak of the configuration.
REFUSALS_BEFORE_HALT = 3


class SharedStateStore:
    """Shared, changing state; every method is safe among the threads of a lane."""

    def __init__(self, run: str, quotas: Quotas, clock: Clock, offset: float) -> None:
        self._run, self.quotas, self._clock, self._offset = run, quotas, clock, offset
        self._lock = threading.Lock()
        self._shared = SharedState(clock.now(), 0.0, Reservations(), quotas)
        self._refused = self._succeeded = 0

    def current(self) -> SharedState:
        """The shared state at this moment."""
        now = self._clock.now()
        with self._lock:
            shared = self._shared
        storage_now = now + self._offset
        quotas = shared.reservations.quotas_under(self.quotas, storage_now)
        return replace(shared, now=now, storage_now=storage_now, quotas=quotas)

    def storage_now(self) -> float:
        """The storage's clock, from its distance to ours at the start."""
        return self._clock.now() + self._offset

    def set_reservations(self, reservations: Reservations, refreshed_for: str = "") -> None:
        """The spend log was read, for the attempt `refreshed_for` to see whether it fits now."""
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

    def moved(self) -> None:
        """Something is about to change what is reserved."""
        at = self._clock.now()
        self._change(lambda shared: {"reservations_changed_at": at})

    def set_stopped(self, stopped: bool) -> None:
        """The stop records were read."""
        self._change(lambda shared: {"stopped": stopped})

    def halt(self, reason: str) -> None:
        """No more creating in this process; the first reason stands."""
        self._change(lambda shared: {"halted": shared.halted or reason})

    def scanned(self, jobs: Iterable[Job], began: float) -> None:
        """The remote jobs were listed; those of this run are kept by shard and attempt.

        A job that came to be while the pages were read may be missing, so the moment that counts
        is when the listing `began`.
        """
        found: dict[tuple[str, str], list[Found]] = defaultdict(list)
        for job in jobs:
            parts = job.display_name.split("/")
            if len(parts) == 4 and parts[0] == self._run:
                found[parts[1], parts[2]].append(
                    Found(job.name, job.display_name, job.create_time, job.input_file, job.state)
                )
        by_name = {name: tuple(jobs) for name, jobs in found.items()}
        self._change(lambda shared: {"listed_at": began, "listed_jobs": by_name})

    def job_ended(self, state: str, request_shaped: bool) -> None:
        """Count endings: when the first jobs are all refused as malformed, creating stops."""
        with self._lock:
            self._succeeded += state == "SUCCEEDED"
            self._refused += request_shaped
            stop = not self._succeeded and self._refused >= REFUSALS_BEFORE_HALT
        if stop:
            self.halt(
                f"the first {REFUSALS_BEFORE_HALT} jobs were all refused as malformed: it is the "
                "configuration or the service's rules, not single inputs; see the outcomes' causes"
            )

    def _change(self, changes: Callable[[SharedState], dict[str, Any]]) -> None:
        with self._lock:
            self._shared = replace(self._shared, **changes(self._shared))
