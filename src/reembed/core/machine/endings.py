"""What follows from the end of a job: which requests go on, which end as rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reembed.core.machine.records import Child, Need, ranges_of
from reembed.core.names import child, depth

# google.rpc.Code: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL,
# UNAVAILABLE. The others speak of the request itself and would fail again.
RETRYABLE_RPC = frozenset({1, 2, 4, 8, 10, 13, 14})
INVALID_ARGUMENT = 3
NOT_FOUND = 5
SPLIT_WAYS = 16
MAX_SPLIT_DEPTH = 5

NeedOf = Callable[[Sequence[int]], Need]


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one request brought no vector: a reason code, a message, and whether to ask again."""

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """The children to send, the rejects to write (by ordinal), and how long to wait before."""

    children: Mapping[str, Child]
    rejects: Mapping[int, RowError]
    delay_seconds: float = 0.0


def is_retryable(code: int) -> bool:
    """Whether a row's error may pass: by google.rpc code or HTTP status."""
    return code in RETRYABLE_RPC or code in {408, 429, 499} or 500 <= code < 600


def after_rows(
    attempt: str, errors: Mapping[int, RowError], max_attempts: int, need_of: NeedOf
) -> Ending:
    """Sort a finished job's unanswered requests into one child attempt and rejects."""
    may_go_on = depth(attempt) + 1 < max_attempts
    again = [n for n, error in sorted(errors.items()) if error.retryable and may_go_on]
    rejects = {n: error for n, error in errors.items() if not (error.retryable and may_go_on)}
    children = {child(attempt, 0): Child(ordinals=ranges_of(again), need=need_of(again))}
    return Ending(children if again else {}, rejects, backoff(depth(attempt)))


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
    error = RowError(reason, message, retryable=False)
    return Ending({}, dict.fromkeys(ordinals, error))


def _words(job: RemoteEnd) -> str:
    said = f": {job.message} (code {job.code})" if job.message or job.code else ""
    return f"the job {job.name} ended {job.state}{said}"
