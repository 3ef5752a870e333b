"""One shard, played by hand: decide, then say what the action gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from reembed.core.names import display_name
from reembed.core.plans import ShardPlan
from reembed.core.records import Claim, Created, Outcome, ReservationLine
from reembed.machine import actions as act
from reembed.machine.decide import decide
from reembed.machine.quotas import Quotas
from reembed.machine.reduce import FileWritten, reduce
from reembed.machine.reservations import Reservations
from reembed.machine.rules import ListedJob, Rules, SharedState
from reembed.machine.snapshot import ShardRecords, state_of_shard
from reembed.machine.states import ObservedJob, PendingOutcome, Prepared, ShardState
from reembed.providers.gemini.provider import CAPABILITIES

SHARD = "00000000-000003"
RULES = Rules(
    run="run1",
    holder="me",
    max_attempts=4,
    poll=(10.0, 100.0),
    lease=120.0,
    request_timeout=60.0,
    list_lag=30.0,
    stuck_after=3600.0,
    job_list_retention=7 * 86400.0,
    capabilities=replace(CAPABILITIES, result_seconds=1000.0),
    inline="file",
)
WIDE = Quotas(max_usd_nano=None, jobs=10, tokens=10_000, file_bytes=10**9)
PLAN = ShardPlan(
    shard=SHARD,
    chunks=22,
    requests=20,
    canaries=1,
    rejects=2,
    tokens={"text": 400, "image": 100},
    wire_bytes=5000,
    result_bytes=9000,
    usd_nano=70,
    fingerprint="abcdef0123456789" * 4,
)
# The result of an action when all goes well.
WELL = object()


@dataclass
class Play:
    """A shard, the world and the rules; `step` is one action and what it gave."""

    state: ShardState
    shared: SharedState
    rules: Rules = RULES
    log: list[act.Action] = field(default_factory=list)

    def next(self) -> act.Action:
        """What would be done now."""
        return decide(self.state, self.shared, self.rules)

    def step(self, kind: type[act.Action], /, result: Any = WELL, **fields: Any) -> Any:
        """Check that the next action is of a kind, give it a result, and return it.

        Without a result all goes well; a function is called for the result once the action is
        known.
        """
        action = self.next()
        assert isinstance(action, kind), f"{action} instead of {kind.__name__}"
        for name, value in fields.items():
            assert getattr(action, name) == value, action
        self.log.append(action)
        if result is WELL:
            result = self.well(action)
        elif callable(result):
            result = result()
        self.state = reduce(self.state, action, result, self.shared.now)
        return action

    def until(self, kind: type[act.Action]) -> Any:
        """Let everything go well up to an action of a kind, which is returned and not done."""
        for _ in range(50):
            action = self.next()
            if isinstance(action, kind):
                return action
            assert not isinstance(action, act.Wait | act.Defer | act.Halt | act.Finished), action
            self.step(type(action))
        raise AssertionError(f"no {kind.__name__} in 50 steps")

    def well(self, action: act.Action) -> Any:
        """What an action gives when all goes well; the book and the scan follow."""
        match action:
            case act.MakeClaim():
                return Claim(holder="me", epoch=action.epoch, sealed=action.sealed)
            case act.Reserve():
                name = f"{SHARD}/{action.attempt}"
                self.write(kind="reserve", attempt=name, epoch=action.epoch, need=action.need)
                return "won"
            case act.Release():
                name = f"{SHARD}/{action.attempt}"
                self.write(kind=action.kind, attempt=name, epoch=action.epoch)
            case act.Prepare():
                return Prepared("/scratch/requests", 21, 4000)
            case act.Upload():
                return f"files/{action.attempt}-{action.epoch}"
            case act.ReloadRecords():
                return self.records()
            case act.Create():
                return self.created(action.attempt, action.epoch)
            case act.RecordCreated():
                return action.created
            case act.RecordOutcome():
                return action.outcome
            case act.WritePart() | act.WriteRejects():
                return FileWritten(f"/run/{type(action).__name__}", (("empty", 2),))
            case act.ListJobs():
                self.saw()
            case act.RefreshReservations():
                self.shared = replace(self.shared, reservations_read_at=self.shared.now)
        return None

    def records(self, **changes: Any) -> ShardRecords:
        """The ledger as it must be after what was done here."""
        states = self.state.attempts
        return ShardRecords(
            **{
                "claims": {p: {e: c.claim for e, c in a.claims.items()} for p, a in states.items()},
                "ages": {(p, e): c.age for p, a in states.items() for e, c in a.claims.items()},
                "voids": frozenset(
                    (p, e) for p, a in states.items() for e, c in a.claims.items() if c.void
                ),
                "created": {p: a.created for p, a in states.items() if a.created},
                "outcomes": {p: a.outcome for p, a in states.items() if a.outcome},
                **changes,
            }
        )

    def created(self, attempt: str = "0", epoch: int = 1, job: str = "batches/1") -> Created:
        """The record of a job."""
        name = display_name("run1", SHARD, attempt, PLAN.fingerprint)
        return Created(job=job, display_name=name, epoch=epoch, input_file=f"files/{attempt}")

    def write(self, **line: Any) -> None:
        """Append a line to the spend log."""
        reservations = self.shared.reservations.add(ReservationLine(**line))
        now = self.shared.now
        self.shared = replace(
            self.shared,
            reservations=reservations,
            reservations_read_at=now,
            reservations_changed_at=now,
        )

    def saw(self, *jobs: ListedJob, attempt: str = "0") -> None:
        """The remote jobs are listed now."""
        found = {(SHARD, attempt): jobs} if jobs else {}
        self.shared = replace(self.shared, listed_at=self.shared.now, listed_jobs=found)

    def after(self, seconds: float) -> None:
        """Let time pass."""
        now, wall = self.shared.now + seconds, self.shared.storage_now + seconds
        self.shared = replace(self.shared, now=now, storage_now=wall)

    def wait(self) -> act.Wait:
        """The next action must be to wait; wait so long."""
        action = self.next()
        assert isinstance(action, act.Wait), action
        assert action.until > self.shared.now
        self.after(action.until - self.shared.now)
        return action

    def poll(self, state: str, **fields: Any) -> None:
        """Poll the job, which is in a state."""
        action = self.next()
        assert isinstance(action, act.Poll), action
        done = state in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
        job = ObservedJob(
            action.job, state, done, polled_at=self.shared.now, interval=10.0, **fields
        )
        self.step(act.Poll, job)

    def end(self, kind: type[act.Action], /, **outcome: Any) -> Outcome:
        """Join or classify_failure, then record the outcome."""
        attempt = self.next().attempt
        record = Outcome(**{"state": "SUCCEEDED", "job": "batches/1", "rows": 20, **outcome})
        self.step(kind, PendingOutcome(record))
        self.step(act.RecordOutcome, attempt=attempt)
        return record


PlayOf = Callable[..., Play]


@pytest.fixture
def play() -> PlayOf:
    """A shard on its way: ``play(records=…, plan={…}, quotas={…}, **rules)``."""

    def make(
        records: ShardRecords | None = None,
        plan: dict[str, Any] | None = None,
        quotas: dict[str, Any] | None = None,
        **rules: Any,
    ) -> Play:
        chosen = PLAN.model_copy(update=plan or {})
        shared = SharedState(
            now=1000.0,
            storage_now=5e6,
            reservations=Reservations(),
            quotas=replace(WIDE, **(quotas or {})),
            reservations_read_at=1000.0,
            reservations_changed_at=1000.0,
        )
        state = state_of_shard(chosen, records or ShardRecords(), 1000.0)
        return Play(state, shared, replace(RULES, **rules))

    return make
