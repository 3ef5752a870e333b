"""`reduce`: the next state of a shard, from an action and its result. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from reembed.core.records import Claim, Created, Outcome
from reembed.machine import actions as act
from reembed.machine.snapshot import ShardRecords, new_attempt, state_of_shard
from reembed.machine.states import (
    AttemptState,
    ClaimState,
    Local,
    ObservedJob,
    PendingOutcome,
    Prepared,
    ShardState,
)

# Of a write that only one process can make: ours stands, another's stands, or it does not fit.
RaceResult = Literal["won", "lost", "full"]


@dataclass(frozen=True, slots=True)
class FileWritten:
    """Part, or a file of rejects with `counts` by reason, stands in the storage."""

    uri: str
    counts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CreateUnanswered:
    """Create that was sent and not answered: there may be a job."""


@dataclass(frozen=True, slots=True)
class SendRefused:
    """Nothing was sent, or the service accepted nothing: try again after `seconds`.

    `quota`: it was a 429, which proves nothing against the input that was uploaded.
    """

    reason: str
    seconds: float
    quota: bool = False


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Call that failed for now; the same again after `seconds`."""

    seconds: float


# What an action may give; None where it was simply done.
Result = (
    None
    | RaceResult
    | str
    | Claim
    | ShardRecords
    | ObservedJob
    | Prepared
    | Created
    | PendingOutcome
    | Outcome
    | FileWritten
    | CreateUnanswered
    | SendRefused
    | CallFailed
)


def reduce(state: ShardState, action: act.Action, result: Result, now: float) -> ShardState:
    """Return the state after `action` gave `result`.

    Raises:
        TypeError: the action and the result do not belong together.
    """
    if isinstance(result, ShardRecords):
        # A process that froze while it read knows what was true when it began; taken as of now,
        # what was read would let it send long after its claim was taken over.
        began = now if result.records_read_at is None else result.records_read_at
        return state_of_shard(state.plan, result, began, state)
    if isinstance(action, act.RecordSettled):
        return replace(state, settled=action.settled)
    if isinstance(result, FileWritten):
        if isinstance(action, act.WritePart):
            return replace(state, part=result.uri)
        return replace(state, reject_part=result.uri, reject_codes=dict(result.counts))
    path = getattr(action, "attempt", None)
    if path is None:
        raise TypeError(f"{type(action).__name__} cannot give {type(result).__name__}")
    attempt = state.attempts[path]
    if isinstance(action, act.RecordOutcome):
        return _ended(
            state, attempt, result if isinstance(result, Outcome) else action.outcome, now
        )
    return state.with_attempt(_after(attempt, action, result, now))


def _ended(state: ShardState, attempt: AttemptState, outcome: Outcome, now: float) -> ShardState:
    """Add an outcome, ours or another's, to the state, with its children as new attempts."""
    state = state.with_attempt(replace(attempt, outcome=outcome))
    for path, child in outcome.children.items():
        if path not in state.attempts:
            born = new_attempt(state.plan, path, child)
            state = state.with_attempt(born.with_local(not_before=now + outcome.delay_seconds))
    return state


def _after(attempt: AttemptState, action: act.Action, result: Result, now: float) -> AttemptState:
    if isinstance(result, CallFailed):
        failures = attempt.local.failures + 1
        return attempt.with_local(not_before=now + result.seconds, failures=failures)
    if isinstance(result, PendingOutcome):
        return attempt.with_local(pending_outcome=result)
    if isinstance(result, SendRefused):
        return _refused(attempt, result, now)
    if isinstance(action, act.MakeClaim | act.Reserve | act.ReleaseClaim | act.Create):
        return _claiming(attempt, action, result, now)
    local = _LOCAL_CHANGES.get(type(action))
    if local is not None:
        return attempt.with_local(**local(action, attempt, result, now), failures=0)
    if isinstance(action, act.RecordCreated):
        created = result if isinstance(result, Created) else action.created
        return replace(attempt, created=created)
    if isinstance(action, act.Poll) and isinstance(result, ObservedJob):
        unknown = result.state == "UNKNOWN"
        first = attempt.local.unknown_state_since
        since = (now if first is None else first) if unknown else None
        return replace(attempt, job=result).with_local(failures=0, unknown_state_since=since)
    if isinstance(action, act.RefreshReservations):
        return attempt
    if isinstance(action, act.MarkStuck):
        return replace(attempt, stuck=True)
    raise TypeError(f"{type(action).__name__} cannot give {type(result).__name__}")


def _refused(attempt: AttemptState, result: SendRefused, now: float) -> AttemptState:
    since = attempt.local.throttled_at
    attempt = attempt.with_local(refusal=result.reason, retry_at=now + result.seconds)
    if not result.quota:
        return attempt.with_local(throttled_at=None)
    # What is known of the lease will be old when the wait is over: read the records anew.
    return attempt.with_local(throttled_at=now if since is None else since, records_read_at=None)


_LOCAL_CHANGES: dict[type, Callable[..., dict[str, Any]]] = {
    act.ListJobs: lambda action, attempt, result, now: {},
    act.Fence: lambda action, attempt, result, now: {
        "fenced_epochs": attempt.local.fenced_epochs | {action.epoch},
        "fenced_at": now,
    },
    act.Prepare: lambda action, attempt, result, now: {"prepared": result},
    # An upload may have taken longer than the lease: what was read before it proves nothing.
    act.Upload: lambda action, attempt, result, now: {"uploaded": result, "records_read_at": None},
    act.Cancel: lambda action, attempt, result, now: {"cancelled": True},
    act.DeleteInput: lambda action, attempt, result, now: {"input_deleted": True},
    act.Release: lambda action, attempt, result, now: {"reserved": False},
}


def _claiming(
    attempt: AttemptState, action: act.Action, result: Result, now: float
) -> AttemptState:
    if isinstance(action, act.MakeClaim):
        if isinstance(result, Claim):
            claims = {**attempt.claims, action.epoch: ClaimState(result, 0.0)}
            return replace(attempt, claims=claims, local=Local(epoch=action.epoch, claimed_at=now))
        # Another's claim stands: the next reading shows whose, and how old it is.
        theirs = {action.epoch: ClaimState(Claim(holder="", epoch=action.epoch), 0.0)}
        return replace(attempt, claims={**attempt.claims, **theirs}, local=Local())
    if isinstance(action, act.ReleaseClaim):
        return _voided(attempt, action.epoch)
    if isinstance(action, act.Reserve):
        if result == "won":
            # A second try with a kept input comes after a long wait: the records are read anew.
            waited = attempt.local.refusal != ""
            read_at = None if waited else attempt.local.records_read_at
            return attempt.with_local(reserved=True, refusal="", records_read_at=read_at)
        return attempt.with_local(refusal="the budget or a quota was used up by another")
    if isinstance(result, Created):
        return replace(attempt, created=result)
    if isinstance(result, CreateUnanswered):
        return attempt.with_local(create_unanswered_since=now)
    raise TypeError(f"{type(action).__name__} cannot give {type(result).__name__}")


def _voided(attempt: AttemptState, epoch: int) -> AttemptState:
    claims = {**attempt.claims, epoch: replace(attempt.claims[epoch], void=True)}
    """The attempt after its epoch was given back: all of it is forgotten but when to go on."""
    local = attempt.local
    empty = local.prepared is not None and local.prepared.sent == 0
    kept = Local(not_before=local.retry_at, empty_epoch=epoch if empty else 0)
    return replace(attempt, claims=claims, local=kept)
