"""What follows from the end of a job: which requests go on, which end as rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reembed.core.machine.records import Child, Need, ranges_of
from reembed.core.names import child, depth
from reembed.core.row_errors import RowError, clip

# google.rpc.Code: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL,
# UNAVAILABLE. The others speak of the request itself and would fail again.
RETRYABLE_RPC = frozenset({1, 2, 4, 8, 10, 13, 14})
INVALID_ARGUMENT = 3
NOT_FOUND = 5
SPLIT_WAYS = 16
MAX_SPLIT_DEPTH = 5

NeedOf = Callable[[Sequence[int]], Need]


@dataclass(frozen=True, slots=True)
class Ending:
    """The children to send, the rejects to write (by ordinal), and how long to wait before."""

    children: Mapping[str, Child]
    rejects: Mapping[int, RowError]
    delay_seconds: float = 0.0


def may_pass(error: RowError, attempt: str) -> bool:
    """Whether asking again may bring a vector.

    By the service's code; and once more for a line that did not come. What was answered badly
    was paid, and is never asked for again here.
    """
    return error.code in RETRYABLE_RPC or (error.reason == "missing" and depth(attempt) == 0)


def after_rows(
    attempt: str, errors: Mapping[int, RowError], max_attempts: int, need_of: NeedOf
) -> Ending:
    """Sort a finished job's unanswered requests into one child attempt and rejects."""
    open_end = depth(attempt) + 1 < max_attempts
    again = [n for n, error in sorted(errors.items()) if open_end and may_pass(error, attempt)]
    rejects = {n: error for n, error in errors.items() if n not in frozenset(again)}
    if not again:
        return Ending({}, rejects)
    retry = Child(ordinals=ranges_of(again), need=need_of(again))
    return Ending({child(attempt, 0): retry}, rejects, backoff(depth(attempt)))


def after_failure(
    attempt: str,
    job: RemoteEnd,
    ordinals: Sequence[int],
    max_attempts: int,
    need_of: NeedOf,
) -> Ending:
    """What follows from FAILED, EXPIRED or CANCELLED: again, in pieces, or rejects."""
    if job.state == "CANCELLED":
        return _reject_all(ordinals, "cancelled", f"the job {job.name} was cancelled")
    if job.state == "FAILED" and job.code == INVALID_ARGUMENT:
        return _split(attempt, job, ordinals, need_of)
    if depth(attempt) + 1 >= max_attempts:
        reason = "expired" if job.state == "EXPIRED" else "job_failed"
        return _reject_all(ordinals, reason, _words(job))
    whole = {child(attempt, 0): Child(ordinals=ranges_of(list(ordinals)), need=need_of(ordinals))}
    return Ending(whole, {}, backoff(depth(attempt)))


@dataclass(frozen=True, slots=True)
class RemoteEnd:
    """How a job ended without answers."""

    name: str
    state: str
    code: int = 0
    message: str = ""


def backoff(tries: int) -> float:
    """Seconds before the next attempt: 5, 20, 80, ... at most 15 minutes."""
    return float(min(900, 5 * 4**tries))


def _split(attempt: str, job: RemoteEnd, ordinals: Sequence[int], need_of: NeedOf) -> Ending:
    if len(ordinals) == 1 or depth(attempt) >= MAX_SPLIT_DEPTH:
        return _reject_all(ordinals, "request_refused", _words(job))
    size = -(-len(ordinals) // SPLIT_WAYS)
    pieces = [ordinals[at : at + size] for at in range(0, len(ordinals), size)]
    children = {
        child(attempt, k): Child(ordinals=ranges_of(list(piece)), need=need_of(piece))
        for k, piece in enumerate(pieces)
    }
    return Ending(children, {})


def _reject_all(ordinals: Sequence[int], reason: str, message: str) -> Ending:
    error = RowError(reason, clip(message))
    return Ending({}, dict.fromkeys(ordinals, error))


def _words(job: RemoteEnd) -> str:
    said = f": {job.message} (code {job.code})" if job.message or job.code else ""
    return f"the job {job.name} ended {job.state}{said}"
