"""Progress of a lane: an overwritable, advisory note that `status` and the bars read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from reembed.core.records import Settled
from reembed.driver.events import LaneObserver, NullObserver
from reembed.errors import StorageError
from reembed.ledger.run_dir import RunDir
from reembed.machine.rules import SharedState
from reembed.machine.states import AttemptState, ObservedJob, ShardState

# Seconds between two notes: of a lane that has run for long, fewer, since each is a paid write and
# nobody looks at a run of weeks by the second.
EVERY_SECONDS, RARELY_SECONDS = 2.0, 30.0
_SHARE_OF_AGE = 120


@dataclass(slots=True)
class UntrackedShards:
    """Shards of a lane without a state in memory: those settled, and those yet to begin."""

    planned: int = 0
    settled: int = 0
    chunks: int = 0
    rows: int = 0
    rejects: int = 0

    def settle(self, settled: Settled) -> None:
        """Count one more settled shard."""
        self.settled += 1
        self.chunks += settled.planned
        self.rows += settled.rows
        self.rejects += settled.rejects


class Progress:
    """Writes a lane's progress every two seconds, later more rarely; a failed write is no error.

    Jobs that are older than `stuck_after` seconds are named in it. `watch` gets, as often, the age
    of the oldest job that has not ended.
    """

    def __init__(
        self,
        run_dir: RunDir,
        commit: int,
        lane: int,
        stuck_after: float = float("inf"),
        watch: LaneObserver | None = None,
    ) -> None:
        self._storage, self._uri = run_dir.storage, run_dir.layout.progress(commit, lane)
        self._stuck_after, self._watch = stuck_after, watch or NullObserver()
        self._last = float("-inf")
        self._began: float | None = None
        self._body: dict[str, Any] = {"schema": 1}

    def update(
        self,
        states: Mapping[str, ShardState],
        untracked: UntrackedShards,
        shared: SharedState,
        last: bool = False,
    ) -> None:
        """Write how far all shards of the lane are, those without a state in memory too."""
        if self._began is None:
            self._began = shared.now
        if not last and shared.now - self._last < pause_after(shared.now - self._began):
            return
        self._last = shared.now
        counts = summary(states.values(), untracked)
        stuck = stuck_jobs(states.values(), shared.storage_now - self._stuck_after)
        self._watch.on_oldest_pending(oldest_pending(states.values(), shared.storage_now))
        self._write(
            {"schema": 1, **counts, "usd_nano": shared.reservations.usd_nano, "stuck_jobs": stuck}
        )

    def end(self, failed: str = "", left: Mapping[str, int] | None = None) -> None:
        """Write that the lane has ended: what stopped it, how many shards it left and why."""
        self._write({**self._body, "ended": True, "failed": failed, "left": dict(left or {})})

    def _write(self, body: dict[str, Any]) -> None:
        self._body = body
        try:
            self._storage.put(self._uri, orjson.dumps(body))
        except StorageError:
            return  # advisory: a run must not fail for a note; records decide, and they raise


def pause_after(age: float) -> float:
    """Seconds until the next note of a lane that has run for so many."""
    return min(RARELY_SECONDS, max(EVERY_SECONDS, age / _SHARE_OF_AGE))


def stuck_jobs(states: Iterable[ShardState], before: float) -> list[str]:
    """Names of jobs that were created before a moment (seconds) and have not ended."""
    return sorted(job.name for job in _pending(states) if job.created_at < before)


def oldest_pending(states: Iterable[ShardState], now: float) -> int:
    """Seconds since the oldest job was created that has not ended; 0 where none is pending."""
    return max((max(0, int(now - job.created_at)) for job in _pending(states)), default=0)


def _pending(states: Iterable[ShardState]) -> Iterator[ObservedJob]:
    """Jobs that have not ended and say when they were created."""
    for state in states:
        for attempt in state.attempts.values():
            job = attempt.job
            if attempt.outcome is None and job is not None and not job.done and job.created_at > 0:
                yield job


def summary(states: Iterable[ShardState], untracked: UntrackedShards) -> dict[str, Any]:
    """Count shards by state, chunks that are done, and requests that jobs still work on."""
    shards = +Counter({"planned": untracked.planned})
    total = replace(untracked)
    done = pending = 0
    for state in states:
        if state.settled is not None:
            total.settle(state.settled)
            continue
        shards[word_of(state)] += 1
        answered = 0
        for attempt in state.attempts.values():
            if attempt.outcome is not None:
                answered += attempt.outcome.rows + attempt.outcome.rejects
            elif attempt.job is not None:
                left = 0 if attempt.job.done else attempt.job.pending
                pending += left
                answered += max(0, attempt.job.total - left)
        # A job's total has its canaries in it.
        done += min(answered, state.plan.chunks)
    shards += Counter({"settled": total.settled})
    return {
        "shards": dict(sorted(shards.items())),
        "chunks_done": total.chunks + done,
        "rows": total.rows,
        "rejects": total.rejects,
        "pending_requests": pending,
    }


def word_of(state: ShardState) -> str:
    """One word for where a shard stands."""
    if state.settled is not None:
        return "settled"
    open_attempts = [a for a in state.attempts.values() if a.outcome is None]
    words = [_attempt_state(attempt) for attempt in open_attempts]
    for word in ("running", "queued", "collecting", "submitting", "planned"):
        if word in words:
            return word
    return "settling"


def _attempt_state(attempt: AttemptState) -> str:
    if attempt.created is None:
        return "submitting" if attempt.local.epoch else "planned"
    if attempt.job is None or attempt.job.state == "PENDING":
        return "queued"
    return "collecting" if attempt.job.done else "running"
