"""What all shards of one process share: the spend log's state, stops, and the last scan."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

from reembed.core.machine.book import Book, Quotas
from reembed.core.machine.governor import Ceiling, accepted, probed, refused, wait_after
from reembed.core.machine.records import Need
from reembed.core.machine.rules import Found, World
from reembed.driver.clock import Clock
from reembed.service.base import Job

# So many jobs refused as malformed, with none that came through, speak of the configuration.
REFUSALS_BEFORE_HALT = 3


class RunState:
    """Shared, changing state; every method is safe among the threads of a lane."""

    def __init__(self, run: str, quotas: Quotas, clock: Clock, offset: float) -> None:
        self._run, self._quotas, self._clock, self._offset = run, quotas, clock, offset
        self._lock = threading.Lock()
        self._world = World(clock.now(), 0.0, Book(), quotas)
        self._refused = self._succeeded = 0
        self._ceiling = Ceiling.of(quotas)
        self._no_create_before = float("-inf")

    def world(self) -> World:
        """The world at this moment."""
        now = self._clock.now()
        with self._lock:
            w = self._world
            self._ceiling = probed(self._ceiling, w.quotas, now)
            return World(
                now=now,
                storage_now=now + self._offset,
                book=w.book,
                quotas=self._ceiling.under(w.quotas),
                stopped=w.stopped,
                halted=w.halted,
                scanned_at=w.scanned_at,
                found=w.found,
                book_at=w.book_at,
                quiet_since=w.quiet_since,
                no_create_before=self._no_create_before,
            )

    def storage_now(self) -> float:
        """The storage's clock, from its distance to ours at the start."""
        return self._clock.now() + self._offset

    def set_book(self, book: Book) -> None:
        """The spend log was read."""
        at = self._clock.now()

        def read(w: World) -> dict[str, object]:
            still = book.lines == w.book.lines and w.quiet_since > float("-inf")
            return {"book": book, "book_at": at, "quiet_since": w.quiet_since if still else at}

        self._change(read)

    def set_stopped(self, stopped: bool) -> None:
        """The stop records were read."""
        self._change(lambda w: {"stopped": stopped})

    def halt(self, reason: str) -> None:
        """No more creating in this process; the first reason stands."""
        self._change(lambda w: {"halted": w.halted or reason})

    def quota_refused(self, attempt: str, retry_after: float | None) -> float:
        """A create met a 429: lower the ceiling; returns the seconds before the next create."""
        now = self._clock.now()
        with self._lock:
            live = {name: need for name, (_, need) in self._world.book.live.items()}
            need = live.pop(attempt, Need())
            others = Need(
                tokens=sum(other.tokens for other in live.values()),
                jobs=sum(other.jobs for other in live.values()),
            )
            self._ceiling = refused(self._ceiling, others, need, now)
            seconds = wait_after(self._ceiling, retry_after)
            self._no_create_before = now + seconds
        return seconds

    def quota_accepted(self) -> None:
        """A create went through."""
        with self._lock:
            self._ceiling = accepted(self._ceiling)

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
        self._change(lambda w: {"scanned_at": began, "found": by_name})

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

    def _change(self, changes: Callable[[World], dict[str, object]]) -> None:
        with self._lock:
            world = self._world
            fields = {name: getattr(world, name) for name in World.__slots__}
            self._world = World(**{**fields, **changes(world)})
