"""Consequences of a job's end: requests that go on, requests that end as rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reembed.core.names import child
from reembed.core.records import NOT_SENT, Child, Need, Outcome, ranges_of
from reembed.core.row_errors import RowError, clip

# google.rpc.Code: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL,
# UNAVAILABLE. The others speak of the request itself and would fail again.
RETRYABLE_RPC = frozenset({1, 2, 4, 8, 10, 13, 14})
INVALID_ARGUMENT = 3
NOT_FOUND = 5
SPLIT_WAYS = 16
# 16 to the power of 5 is a million: deep enough for a piece of any job to come down to one row.
MAX_SPLITS = 5

NeedOf = Callable[[Sequence[int]], Need]


@dataclass(frozen=True, slots=True)
class Ending:
    """The children to send, the rejects to write (by ordinal), and how long to wait before."""

    children: Mapping[str, Child]
    rejects: Mapping[int, RowError]
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Past:
    """What led to an attempt: how often its requests were sent again, and how often cut apart.

    Each has a bound of its own: a piece of a split has not been tried more often than its parent.
    """

    attempt: str
    retries: int = 0
    splits: int = 0


def past_of(attempt: str, outcomes: Mapping[str, Outcome | None]) -> Past:
    """Read an attempt's past from its ancestors' outcomes: a lone child is a retry.

    Args:
        attempt: its path.
        outcomes: by path, at least those of all ancestors.
    """
    retries = splits = 0
    steps = attempt.split(".")
    for count in range(1, len(steps)):
        parent = outcomes.get(".".join(steps[:count]))
        if parent is not None and parent.state == NOT_SENT:
            continue  # cut by ourselves, for a quota: it has been neither tried nor refused
        split = parent is not None and len(parent.children) > 1
        splits += split
        retries += not split
    return Past(attempt, retries, splits)


def may_pass(error: RowError, retries: int) -> bool:
    """Whether asking again may bring a vector.

    By the service's code; and once more for a line that did not come. What was answered badly
    was paid, and is never asked for again here.
    """
    return error.code in RETRYABLE_RPC or (error.reason == "missing" and retries == 0)


def after_rows(
    past: Past, errors: Mapping[int, RowError], max_attempts: int, need_of: NeedOf
) -> Ending:
    """Sort a finished job's unanswered requests into one child attempt and rejects."""
    open_end = past.retries + 1 < max_attempts
    again = [n for n, error in sorted(errors.items()) if open_end and may_pass(error, past.retries)]
    going = frozenset(again)
    rejects = {n: error for n, error in errors.items() if n not in going}
    if not again:
        return Ending({}, rejects)
    retry = Child(ordinals=ranges_of(again), need=need_of(again))
    return Ending({child(past.attempt, 0): retry}, rejects, backoff(past.retries))


def after_failure(
    past: Past,
    job: RemoteEnd,
    ordinals: Sequence[int],
    max_attempts: int,
    need_of: NeedOf,
) -> Ending:
    """What follows from FAILED, EXPIRED or CANCELLED: again, in pieces, or rejects."""
    if job.state == "CANCELLED":
        return _reject_all(ordinals, "cancelled", f"the job {job.name} was cancelled")
    if job.is_request_shaped:
        return _split(past, job, ordinals, need_of)
    if not ordinals:
        return Ending({}, {})
    if past.retries + 1 >= max_attempts:
        reason = "expired" if job.state == "EXPIRED" else "job_failed"
        return _reject_all(ordinals, reason, _words(job))
    whole = Child(ordinals=ranges_of(list(ordinals)), need=need_of(ordinals))
    return Ending({child(past.attempt, 0): whole}, {}, backoff(past.retries))


@dataclass(frozen=True, slots=True)
class RemoteEnd:
    """How a job ended without answers."""

    name: str
    state: str
    code: int = 0
    message: str = ""

    @property
    def is_request_shaped(self) -> bool:
        """Whether the service refused the job for what it was sent."""
        return self.state == "FAILED" and self.code == INVALID_ARGUMENT


def is_checked(past: Past, job: RemoteEnd) -> bool:
    """Whether the requests of a refused job are checked here before it is cut apart.

    Pieces are not: they hold what was checked before the first cut, and found well.
    """
    return job.is_request_shaped and past.splits == 0


def without_malformed(
    past: Past,
    job: RemoteEnd,
    ordinals: Sequence[int],
    faults: Mapping[int, str],
    need_of: NeedOf,
) -> Ending:
    """What follows where the check found faults: those are rejects, the others go on as one job.

    Whether they were all that was wrong shows then. Each round is at least one request smaller,
    and where nothing is found any more, the job is cut apart.

    Args:
        past: of the attempt.
        job: refused as malformed.
        ordinals: what it was sent.
        faults: by ordinal, what is wrong with the request; at least one.
        need_of: what sending some requests takes.
    """
    rejects = {
        n: RowError("request_malformed", clip(f"{faults[n]}; {_words(job)}"), at="submit")
        for n in ordinals
        if n in faults
    }
    rest = [n for n in ordinals if n not in rejects]
    return Ending(split(past.attempt, rest, 1, need_of), rejects)


def backoff(tries: int) -> float:
    """Seconds before the next attempt: 5, 20, 80, ... at most 15 minutes."""
    return float(min(900, 5 * 4**tries))


def _split(past: Past, job: RemoteEnd, ordinals: Sequence[int], need_of: NeedOf) -> Ending:
    if len(ordinals) <= 1 or past.splits >= MAX_SPLITS:
        return _reject_all(ordinals, "request_refused", _words(job))
    return Ending(split(past.attempt, ordinals, SPLIT_WAYS, need_of), {})


def split(attempt: str, ordinals: Sequence[int], ways: int, need_of: NeedOf) -> dict[str, Child]:
    """Child attempts that share an attempt's ordinals in runs of equal size; none for none."""
    size = max(1, -(-len(ordinals) // ways))
    pieces = [ordinals[at : at + size] for at in range(0, len(ordinals), size)]
    return {
        child(attempt, k): Child(ordinals=ranges_of(list(piece)), need=need_of(piece))
        for k, piece in enumerate(pieces)
    }


def _reject_all(ordinals: Sequence[int], reason: str, message: str) -> Ending:
    error = RowError(reason, clip(message), at="embed")
    return Ending({}, dict.fromkeys(ordinals, error))


def _words(job: RemoteEnd) -> str:
    said = f": {job.message} (code {job.code})" if job.message or job.code else ""
    return f"the job {job.name} ended {job.state}{said}"
