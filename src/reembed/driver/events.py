"""Map actions to events with counters; the interface by which a lane is observed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reembed.config.models import ModelSpec
from reembed.core.price import price
from reembed.core.records import Created, Outcome
from reembed.machine import actions as act
from reembed.machine.reduce import Result, SendRefused
from reembed.machine.states import PendingOutcome, ShardState


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a lane did or met, in the terms of the ledger.

    `counts` is added to the counters of its lane; dollars are in billionths (`nano_usd`). `severe`
    events deserve somebody's attention.
    """

    name: str
    shard: str
    attempt: str = ""
    job: str = ""
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    severe: bool = False


class LaneObserver(Protocol):
    """Observes a lane; called on the thread that drives it."""

    def on_event(self, event: Event) -> None:
        """Take in something that happened, once."""

    def on_oldest_pending(self, seconds: int) -> None:
        """Take in the age of the oldest job that has not ended; 0 where none is pending."""


class NullObserver:
    """Ignores everything."""

    def on_event(self, event: Event) -> None:
        """Pass."""

    def on_oldest_pending(self, seconds: int) -> None:
        """Pass."""


logger = logging.getLogger("reembed.events")


def event_of(
    state: ShardState, action: act.Action, result: Result, spec: ModelSpec
) -> Event | None:
    """Map an action and its result to an event; None where there is none.

    Records are counted by the process whose record stands: the ledger returns the very object
    that it was given where that was the first.

    Args:
        state: the shard before the action.
        action: the action.
        result: its result.
        spec: the model, for prices.
    """
    if isinstance(result, SendRefused):
        return _event(
            "quota_refused" if result.quota else "not_sent", state, action, reason=result.reason
        )
    if isinstance(action, act.RecordOutcome):
        ours = result is action.outcome
        return _job_ended(state, action, spec) if ours and action.outcome.job else None
    make = _MAKERS.get(type(action))
    return make(state, action, result) if make is not None else None


def _event(name: str, state: ShardState, action: Any, **more: Any) -> Event:
    return Event(name, state.plan.shard, getattr(action, "attempt", ""), **more)


def _reserved(state: ShardState, action: act.Reserve, result: Result) -> Event | None:
    if result != "won":
        return None
    counts = {"reserved_nano_usd": action.need.usd_nano}
    return _event("reserved", state, action, counts=counts)


def _uploaded(state: ShardState, action: act.Upload, result: Result) -> Event | None:
    prepared = state.attempts[action.attempt].local.prepared
    if not isinstance(result, str) or prepared is None:
        return None
    return _event("uploaded", state, action, counts={"uploaded_bytes": prepared.size})


def _created(state: ShardState, action: act.Create, result: Result) -> Event | None:
    if not isinstance(result, Created):
        return None
    prepared = state.attempts[action.attempt].local.prepared
    assert prepared is not None
    counts = {"jobs_created": 1, "requests_sent": prepared.sent}
    if action.inline:
        counts |= {"uploaded_bytes": prepared.size}
    return _event("job_created", state, action, job=result.job, counts=counts)


def _adopted(state: ShardState, action: act.RecordCreated, result: Result) -> Event | None:
    if result is not action.created:
        return None
    counts = {"jobs_adopted": 1}
    return _event("job_adopted", state, action, job=action.created.job, counts=counts)


def _fetched(state: ShardState, action: act.Join, result: Result) -> Event | None:
    if not isinstance(result, PendingOutcome) or not result.answer_bytes:
        return None
    counts = {"downloaded_bytes": result.answer_bytes}
    return _event("fetched", state, action, job=action.job, counts=counts)


def _job_ended(state: ShardState, action: act.RecordOutcome, spec: ModelSpec) -> Event:
    outcome: Outcome = action.outcome
    well = outcome.state == "SUCCEEDED"
    counts = {
        "jobs_succeeded" if well else "jobs_failed": 1,
        "spent_nano_usd": price(outcome.tokens, spec).batch_usd_nano,
    }
    reason = outcome.state if not outcome.cause else f"{outcome.state}: {outcome.cause}"
    return _event(
        "job_ended", state, action, job=outcome.job, reason=reason, counts=counts, severe=not well
    )


def _stuck(state: ShardState, action: act.MarkStuck, result: Result) -> Event:
    created = state.attempts[action.attempt].created
    job = created.job if created is not None else ""
    return _event("job_stuck", state, action, job=job, severe=True)


def _settled(state: ShardState, action: act.RecordSettled, result: Result) -> Event | None:
    """Count what is new since the settlement before: a redrive adds to it."""
    if result != "won":
        return None
    settled, before = action.settled, state.previous
    rows, rejects = settled.rows, settled.rejects
    if before is not None and state.redrive is not None:
        rows -= before.rows
        rejects -= before.rejects - state.redrive.chunks
    counts = {"shards_settled": 1, "rows": rows, "rejects": rejects}
    return _event("shard_settled", state, action, counts=counts)


_MAKERS: dict[type, Callable[[ShardState, Any, Result], Event | None]] = {
    act.Reserve: _reserved,
    act.Upload: _uploaded,
    act.Create: _created,
    act.RecordCreated: _adopted,
    act.Join: _fetched,
    act.MarkStuck: _stuck,
    act.RecordSettled: _settled,
}


def log_event(event: Event, run: str) -> None:
    """Write an event to the log: as a line, and with its fields beside it.

    Engines carry only the line from their workers, so everything stands in it.
    """
    fields = {"run": run, "shard": event.shard, "attempt": event.attempt, "job": event.job}
    words = [f"{name} {value}" for name, value in fields.items() if value]
    line = f"{event.name}: {', '.join(words)}{_counted(event.counts)}"
    logger.log(
        logging.WARNING if event.severe else logging.INFO,
        "%s",
        f"{line}; {event.reason}" if event.reason else line,
        extra={"event": event.name, "counts": dict(event.counts), **fields},
    )


def _counted(counts: Mapping[str, int]) -> str:
    return "".join(f", {name} {number}" for name, number in counts.items())
