"""Progress of a lane: an overwritable, advisory object that `status` and the bars read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from reembed.core.machine.rules import World
from reembed.core.machine.view import AttemptView, ShardView
from reembed.errors import StorageError
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage

EVERY_SECONDS = 2.0


class Progress:
    """Writes a lane's progress at most every two seconds; a failed write is not an error.

    Jobs that are older than `stuck_after` seconds are named in it.
    """

    def __init__(
        self,
        storage: Storage,
        layout: Layout,
        commit: int,
        lane: int,
        stuck_after: float = float("inf"),
    ) -> None:
        self._storage, self._uri = storage, layout.progress(commit, lane)
        self._stuck_after = stuck_after
        self._last = float("-inf")
        self._body: dict[str, Any] = {"schema": 1}

    def tell(self, views: Mapping[str, ShardView], world: World, last: bool = False) -> None:
        """Note the state of all shards of the lane."""
        if not last and world.now - self._last < EVERY_SECONDS:
            return
        self._last = world.now
        counts = summary(views.values())
        stuck = stuck_jobs(views.values(), world.storage_now - self._stuck_after)
        self._write({"schema": 1, **counts, "usd_nano": world.book.usd_nano, "stuck_jobs": stuck})

    def end(self, failed: str = "", left: Mapping[str, int] | None = None) -> None:
        """Say that the lane has ended: what stopped it, how many shards it left and why."""
        self._write({**self._body, "ended": True, "failed": failed, "left": dict(left or {})})

    def _write(self, body: dict[str, Any]) -> None:
        self._body = body
        try:
            self._storage.put(self._uri, orjson.dumps(body))
        except StorageError:
            return  # advisory: the records decide, and they raise


def stuck_jobs(views: Iterable[ShardView], before: float) -> list[str]:
    """Names of jobs that were created before a moment (seconds) and have not ended."""
    jobs = (a.job for view in views for a in view.attempts.values() if a.outcome is None)
    return sorted(
        j.name for j in jobs if j is not None and not j.done and 0 < j.created_at < before
    )


def summary(views: Any) -> dict[str, Any]:
    """Count shards by state, chunks that are done, and requests that jobs still work on."""
    states: Counter[str] = Counter()
    done = rows = rejects = pending = 0
    for view in views:
        states[state_of(view)] += 1
        if view.settled is not None:
            done += view.settled.planned
            rows += view.settled.rows
            rejects += view.settled.rejects
            continue
        answered = 0
        for attempt in view.attempts.values():
            if attempt.outcome is not None:
                answered += attempt.outcome.rows + attempt.outcome.rejects
            elif attempt.job is not None:
                left = 0 if attempt.job.done else attempt.job.pending
                pending += left
                answered += max(0, attempt.job.total - left)
        # A job's total has its canaries in it.
        done += min(answered, view.plan.chunks)
    return {
        "shards": dict(sorted(states.items())),
        "chunks_done": done,
        "rows": rows,
        "rejects": rejects,
        "pending_requests": pending,
    }


def state_of(view: ShardView) -> str:
    """One word for where a shard stands."""
    if view.settled is not None:
        return "settled"
    open_attempts = [a for a in view.attempts.values() if a.outcome is None]
    words = [_attempt_state(attempt) for attempt in open_attempts]
    for word in ("running", "queued", "collecting", "submitting", "planned"):
        if word in words:
            return word
    return "settling"


def _attempt_state(attempt: AttemptView) -> str:
    if attempt.created is None:
        return "submitting" if attempt.local.epoch else "planned"
    if attempt.job is None or attempt.job.state == "PENDING":
        return "queued"
    return "collecting" if attempt.job.done else "running"
