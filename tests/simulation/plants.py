"""Bugs planted on purpose: each is a change that a hurried hand could make; all must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reembed.config.schema import Config
from reembed.core.records import Child, Claim, Commit, Created, Need, Outcome, Redrive
from reembed.driver.context import Context
from reembed.driver.perform import Performer
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir
from reembed.machine import actions as act
from reembed.machine.decide import decide
from reembed.machine.reduce import Result
from reembed.machine.rules import Rules, SharedState
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import PendingOutcome, ShardState
from reembed.runs.audit import Audit
from reembed.runs.redrive import Resend, plan_redrive
from simulation.runner import Parts

Way = Callable[[Performer, ShardState, Any], Result]


def _performer(way: Way) -> Parts:
    """A performer that does every action by `way`, which may ask the real one."""

    class Planted:
        def __init__(self, context: Context, shared: SharedStateStore) -> None:
            self.real = Performer(context, shared)
            self.context = context

        def perform(self, state: ShardState, action: act.Action) -> Result:
            return way(self, state, action)  # type: ignore[arg-type]

    return Parts(performer=Planted)


def create_before_claim() -> Parts:
    """The claim is written only once the job has been created."""

    class Late:
        def __init__(self, context: Context, shared: SharedStateStore) -> None:
            self.real, self.context = Performer(context, shared), context
            self.claims: dict[tuple[str, str, int], Claim] = {}

        def perform(self, state: ShardState, action: act.Action) -> Result:
            shard = state.plan.shard
            if isinstance(action, act.MakeClaim):
                holder = self.context.rules.holder
                claim = Claim(holder=holder, epoch=action.epoch, sealed=action.sealed)
                self.claims[shard, action.attempt, action.epoch] = claim
                return claim
            result = self.real.perform(state, action)
            if isinstance(action, act.Create):
                claim = self.claims[shard, action.attempt, action.epoch]
                self.context.ledger.claim(shard, action.attempt, claim)
            if isinstance(result, ShardRecords):
                return self._with_ours(shard, result)
            return result

        def _with_ours(self, shard: str, records: ShardRecords) -> ShardRecords:
            claims = {path: dict(epochs) for path, epochs in records.claims.items()}
            for (owner, path, epoch), claim in self.claims.items():
                if owner == shard:
                    claims.setdefault(path, {})[epoch] = claim
            return replace(records, claims=claims)

    return Parts(performer=Late)


def take_over_without_scan() -> Parts:
    """Nobody looks whether the holder that is gone had created its job."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        if isinstance(action, act.ListJobs):
            self.real._shared.set_listed_jobs([], self.context.clock.now())
            return None
        return self.real.perform(state, action)

    return _performer(way)


def no_fence() -> Parts:
    """The input files of lower epochs are left in place."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        return None if isinstance(action, act.Fence) else self.real.perform(state, action)

    return _performer(way)


def success_from_state() -> Parts:
    """SUCCEEDED is taken for the success of every row."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        result = self.real.perform(state, action)
        if isinstance(action, act.Join) and isinstance(result, PendingOutcome):
            outcome = result.outcome.model_copy(
                update={"children": {}, "rejects": 0, "errors_uri": ""}
            )
            return PendingOutcome(outcome, result.anomaly)
        return result

    return _performer(way)


def checked_not_reserved() -> Parts:
    """Room in the budget is looked at, and not taken."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        if not isinstance(action, act.Reserve):
            return self.real.perform(state, action)
        name, now = f"{state.plan.shard}/{action.attempt}", self.real._shared.storage_now()
        reservations, quotas = self.context.spend.read(), self.real._shared.current().quotas
        return "won" if reservations.admission(name, action.need, quotas, now) == "fits" else "full"

    return _performer(way)


class _Forgetful(Ledger):
    """Says that a job is recorded, and does not record it."""

    def created(self, shard: str, attempt: str, created: Created) -> Created:
        return created


def created_not_recorded() -> Parts:
    """The job's name stays in memory while it is polled."""
    return Parts(ledger=_Forgetful)


class _OwnOpinion(Ledger):
    """Writes outcomes, and never heeds those that stand."""

    def outcome(self, shard: str, attempt: str, outcome: Outcome) -> Outcome:
        super().outcome(shard, attempt, outcome)
        return outcome

    def look(self, shard: str) -> ShardRecords:
        return replace(super().look(shard), outcomes={})

    def load(
        self, shards: Iterable[str], ages: bool = False, brief: bool = False
    ) -> Iterator[tuple[str, ShardRecords]]:
        for shard, records in super().load(shards, ages, brief):
            yield shard, replace(records, outcomes={})


def outcome_recomputed() -> Parts:
    """A later runner works out for itself how a job ended."""
    return Parts(ledger=_OwnOpinion)


def released_on_failed() -> Parts:
    """The dollars of a FAILED job are given back."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        if isinstance(action, act.Release):
            outcome = state.attempts[action.attempt].outcome
            if outcome is not None and outcome.state == "FAILED":
                action = replace(action, kind="void")
        return self.real.perform(state, action)

    return _performer(way)


def sends_on_an_old_look() -> Parts:
    """Nothing is looked at between the claim and the create."""

    def stale(state: ShardState, shared: SharedState, rules: Rules) -> act.Action:
        for attempt in state.attempts.values():
            if attempt.local.epoch and attempt.local.records_read_at is None:
                state = state.with_attempt(attempt.with_local(records_read_at=shared.now))
        return decide(state, shared, rules)

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        if isinstance(action, act.Create):
            attempt = state.attempts[action.attempt]
            state = state.with_attempt(attempt.with_local(records_read_at=self.context.clock.now()))
        return self.real.perform(state, action)

    return replace(_performer(way), decide=stale)


def stop_not_heeded() -> Parts:
    """The stop record is read and shrugged off."""

    def deaf(state: ShardState, shared: SharedState, rules: Rules) -> act.Action:
        return decide(state, replace(shared, stopped=False), rules)

    return Parts(decide=deaf)


def part_from_first_attempt() -> Parts:
    """The first attempt's rows are settled as the part, whatever its children brought."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        if isinstance(action, act.WritePart):
            state = replace(state, attempts={"0": state.attempts["0"]})
        return self.real.perform(state, action)

    return _performer(way)


def no_lease() -> Parts:
    """A claim is taken over as soon as it is seen."""

    def hasty(state: ShardState, shared: SharedState, rules: Rules) -> act.Action:
        return decide(state, shared, replace(rules, lease=-rules.request_timeout - rules.list_lag))

    return Parts(decide=hasty)


def redrive_sends_rows_again() -> Parts:
    """A redrive sends whole shards, not only what was rejected."""

    def careless(
        run_dir: RunDir, config: Config, reasons: Sequence[str]
    ) -> tuple[Commit, int, list[Resend]]:
        commit, generation, found = plan_redrive(run_dir, config, reasons)
        whole = []
        for resend in found:
            need = resend.redrive.sent.need
            requests = max(end for _, end in resend.redrive.sent.ordinals)
            child = Child(ordinals=((0, requests),), need=_times(need, 12))
            whole.append(Resend(resend.shard, Redrive(sent=child, chunks=requests)))
        return commit, generation, whole

    return Parts(plan_redrive=careless)


def _times(need: Need, factor: int) -> Need:
    """More room, so that the invariants on money are not what finds it."""
    return need.model_copy(
        update={"usd_nano": need.usd_nano * factor, "tokens": need.tokens * factor}
    )


def quarantine_buys_again() -> Parts:
    """An answer that cannot be trusted is simply asked for again."""

    def trusting(state: ShardState, shared: SharedState, rules: Rules) -> act.Action:
        return decide(state, shared, replace(rules, accept_repay=True))

    return Parts(decide=trusting)


def audit_blind() -> Parts:
    """Nobody looks for jobs that serve no attempt."""
    return Parts(audit=lambda *seams: Audit())


def retry_resends_answered() -> Parts:
    """A retry sends all requests of its parent, answered ones too."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        result = self.real.perform(state, action)
        if not isinstance(action, act.Join) or not isinstance(result, PendingOutcome):
            return result
        every = state.attempts[action.attempt].ordinals or ((0, state.plan.requests),)
        children = {
            path: Child(ordinals=every, need=_times(child.need, 12))
            for path, child in result.outcome.children.items()
        }
        return PendingOutcome(
            result.outcome.model_copy(update={"children": children}), result.anomaly
        )

    return _performer(way)


def part_shrinks() -> Parts:
    """A redrive's part holds what the redrive brought, without the rows that stood."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        if not isinstance(action, act.WritePart) or state.previous is None:
            return self.real.perform(state, action)
        return self.real.perform(replace(state, previous=None), action)

    return _performer(way)


def suspect_is_lost_forever() -> Parts:
    """A result that was shown once as gone is believed gone, whatever a later fetch shows."""

    def way(self: Any, state: ShardState, action: act.Action) -> Result:
        result = self.real.perform(state, action)
        if (
            isinstance(action, act.Join)
            and isinstance(result, PendingOutcome)
            and len(state.attempts) > 1
        ):
            job = action.job
            return PendingOutcome(Outcome(state="RESULT_LOST", job=job), f"RESULT_LOST: {job}")
        return result

    return _performer(way)


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug, and what the invariant says that has to find it (a pattern)."""

    make: Callable[[], Parts]
    found_by: str


_TWICE = r"second job of|answered and billed in"

PLANTS: dict[str, Plant] = {
    plant.__name__: Plant(plant, found_by)
    for plant, found_by in (
        (create_before_claim, r"created without a claim"),
        (take_over_without_scan, _TWICE),
        (no_fence, _TWICE),
        (success_from_state, r"keys lost|counts do not close"),
        (checked_not_reserved, r"created without a reservation|billed \d+, reserved 0"),
        (created_not_recorded, r"polled before"),
        (outcome_recomputed, r"counts do not close|answered and billed|keys lost|doubled"),
        (released_on_failed, r"given back"),
        (sends_on_an_old_look, r"on a look \d+ s old|although the stop|second job of"),
        (stop_not_heeded, r"although the stop had been seen"),
        (part_from_first_attempt, r"keys lost|counts do not close"),
        (redrive_sends_rows_again, r"answered and billed in"),
        (quarantine_buys_again, r"the user was not asked"),
        (audit_blind, r"no audit says so"),
        (retry_resends_answered, r"answered and billed in"),
        (part_shrinks, r"a settled part is replaced by one without"),
        (suspect_is_lost_forever, r"its answer was shown whole"),
    )
}
