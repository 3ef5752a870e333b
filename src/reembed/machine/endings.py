"""Consequences of an attempt's end: requests that go on, requests that end as rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reembed.core.names import child
from reembed.core.records import NOT_SENT, Child, Need, Outcome, Sealing, ranges_of
from reembed.core.row_errors import RowError, clip
from reembed.machine.states import AttemptState

# google.rpc.Code: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL,
# UNAVAILABLE. The others speak of the request itself and would fail again.
RETRYABLE_RPC = frozenset({1, 2, 4, 8, 10, 13, 14})
INVALID_ARGUMENT = 3
SPLIT_WAYS = 16
# 16 to the power of 5 is a million: deep enough for a piece of any job to come down to one row.
MAX_SPLITS = 5

NeedOf = Callable[[Sequence[int]], Need]


@dataclass(frozen=True, slots=True)
class Ending:
    """Children to send, the rejects to write (by ordinal), and how long to wait before."""

    children: Mapping[str, Child]
    rejects: Mapping[int, RowError]
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryHistory:
    """Count of retries and of splits of an attempt's requests.

    Each has a bound of its own: a piece of a split has not been tried more often than its parent,
    so one count for both would reject it untried.
    """

    attempt: str
    retries: int = 0
    splits: int = 0


def retry_history(attempt: str, outcomes: Mapping[str, Outcome | None]) -> RetryHistory:
    """Read an attempt's history from its ancestors' outcomes: a lone child is a retry.

    Args:
        attempt: its path.
        outcomes: by path, at least those of all ancestors.
    """
    retries = splits = 0
    steps = attempt.split(".")
    for count in range(1, len(steps)):
        parent = outcomes.get(".".join(steps[:count]))
        if parent is not None and parent.state == NOT_SENT:
            continue  # split by ourselves, for a quota: it has been neither tried nor refused
        was_split = parent is not None and len(parent.children) > 1
        splits += was_split
        retries += not was_split
    return RetryHistory(attempt, retries, splits)


def is_retryable(error: RowError, retries: int) -> bool:
    """Tell whether asking again may bring a vector.

    By the service's code; and once more for a line that did not come. What was answered badly was
    paid, and would be paid again: it is never asked for again here.
    """
    return error.code in RETRYABLE_RPC or (error.reason == "missing" and retries == 0)


def ending_after_answers(
    history: RetryHistory, errors: Mapping[int, RowError], max_attempts: int, need_of: NeedOf
) -> Ending:
    """Sort a finished job's unanswered requests into one child attempt and rejects."""
    tries_left = history.retries + 1 < max_attempts
    again = [
        n
        for n, error in sorted(errors.items())
        if tries_left and is_retryable(error, history.retries)
    ]
    going = frozenset(again)
    rejects = {n: error for n, error in errors.items() if n not in going}
    if not again:
        return Ending({}, rejects)
    retry = Child(ordinals=ranges_of(again), need=need_of(again))
    return Ending({child(history.attempt, 0): retry}, rejects, retry_delay(history.retries))


@dataclass(frozen=True, slots=True)
class RemoteEnd:
    """End of a job without answers."""

    name: str
    state: str
    code: int = 0
    message: str = ""

    @property
    def is_request_shaped(self) -> bool:
        """Tell whether the service refused the job as malformed, for what it was sent."""
        return is_request_shaped(self.state, self.code)


def is_request_shaped(state: str, code: int) -> bool:
    """Tell whether a job that ended so was refused as malformed, for what it was sent."""
    return state == "FAILED" and code == INVALID_ARGUMENT


def remote_end(attempt: AttemptState) -> RemoteEnd:
    """Describe how an attempt's job ended, for what follows from it.

    A job that the run itself cancelled because it was stuck counts as expired, so that it is sent
    again; a cancellation by the user rejects its requests.
    """
    job = attempt.job
    assert job is not None
    state = "EXPIRED" if job.state == "CANCELLED" and attempt.stuck else job.state
    return RemoteEnd(job.name, state, job.error_code, job.error_message)


def ending_after_failure(
    history: RetryHistory,
    job: RemoteEnd,
    ordinals: Sequence[int],
    max_attempts: int,
    need_of: NeedOf,
) -> Ending:
    """Work out what follows from FAILED, EXPIRED or CANCELLED: again, in pieces, or rejects."""
    if job.state == "CANCELLED":
        return _reject_all(ordinals, "cancelled", f"the job {job.name} was cancelled")
    if job.is_request_shaped:
        return _split_refused(history, job, ordinals, need_of)
    if not ordinals:
        return Ending({}, {})
    if history.retries + 1 >= max_attempts:
        reason = "expired" if job.state == "EXPIRED" else "job_failed"
        return _reject_all(ordinals, reason, _describe(job))
    whole = Child(ordinals=ranges_of(list(ordinals)), need=need_of(ordinals))
    return Ending({child(history.attempt, 0): whole}, {}, retry_delay(history.retries))


def should_check_requests(history: RetryHistory, job: RemoteEnd) -> bool:
    """Tell whether the requests of a refused job are checked here before it is split.

    The service's message names no request reliably, and splitting costs up to five rounds of jobs;
    a check here names the faults at once. Pieces are not checked: what they hold was checked before
    the first split, and found well.
    """
    return job.is_request_shaped and history.splits == 0


def ending_without_malformed(
    history: RetryHistory,
    job: RemoteEnd,
    ordinals: Sequence[int],
    faults: Mapping[int, str],
    need_of: NeedOf,
) -> Ending:
    """Reject the requests in which the check found faults; send the others on as one job.

    Whether they were all that was wrong shows then. Each round is at least one request smaller,
    and where nothing is found any more, the job is split: so it ends.

    Args:
        history: of the attempt.
        job: refused as malformed.
        ordinals: what it was sent.
        faults: by ordinal, what is wrong with the request; at least one.
        need_of: what sending some requests takes.
    """
    rejects = {
        n: RowError("request_malformed", clip(f"{faults[n]}; {_describe(job)}"), at="submit")
        for n in ordinals
        if n in faults
    }
    rest = [n for n in ordinals if n not in rejects]
    return Ending(split_attempt(history.attempt, rest, 1, need_of), rejects)


def ending_unsent(
    attempt: str,
    ordinals: Sequence[int],
    unsent: Mapping[int, RowError],
    sealed: Sealing,
    need_of: NeedOf,
) -> Ending:
    """Work out what follows from an attempt that was sealed without a job.

    Args:
        attempt: its path.
        ordinals: its requests, without those in `unsent`.
        unsent: why some could not be rendered, by ordinal.
        sealed: why it was sealed.
        need_of: what sending some requests takes.
    """
    if sealed == "stopped":
        message = "the run was stopped before this was sent; `reembed redrive` sends it"
        stopped = dict.fromkeys(ordinals, RowError("stopped", message, at="submit"))
        return Ending({}, {**stopped, **unsent})
    # Of an ``ended`` attempt nothing should be left over; what is, goes on and is not dropped.
    ways = 2 if sealed == "split" else 1
    return Ending(split_attempt(attempt, ordinals, ways, need_of), unsent)


def retry_delay(tries: int) -> float:
    """Seconds before the next attempt: 5, 20, 80, ... at most 15 minutes."""
    return float(min(900, 5 * 4**tries))


def _split_refused(
    history: RetryHistory, job: RemoteEnd, ordinals: Sequence[int], need_of: NeedOf
) -> Ending:
    """Split a refused job, so that one bad request does not take thousands of good ones with it."""
    if len(ordinals) <= 1 or history.splits >= MAX_SPLITS:
        return _reject_all(ordinals, "request_refused", _describe(job))
    return Ending(split_attempt(history.attempt, ordinals, SPLIT_WAYS, need_of), {})


def split_attempt(
    attempt: str, ordinals: Sequence[int], ways: int, need_of: NeedOf
) -> dict[str, Child]:
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


def _describe(job: RemoteEnd) -> str:
    detail = f": {job.message} (code {job.code})" if job.message or job.code else ""
    return f"the job {job.name} ended {job.state}{detail}"
