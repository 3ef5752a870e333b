"""One process of the program under test: the real machine over simulated seams, shard by shard."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reembed.core.plans import ShardPlan
from reembed.core.records import Commit
from reembed.driver.context import Context
from reembed.driver.lane import RollupWriter
from reembed.driver.perform import Performer
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.ledger import Ledger
from reembed.machine import actions as act
from reembed.machine.decide import decide
from reembed.machine.halts import halt_for_unusable_answers
from reembed.machine.reduce import Result, reduce
from reembed.machine.rules import Rules, SharedState
from reembed.machine.scheduling import (
    is_idle_action,
    is_sending,
    longest_sleep,
    may_leave_round,
    may_still_be_done,
    renewal_is_due,
    round_is_over,
    shard_is_sending,
)
from reembed.machine.snapshot import ShardRecords, state_of_shard
from reembed.machine.states import ShardState
from reembed.runs.audit import Audit, audit_jobs
from reembed.runs.redrive import Resend, plan_redrive
from simulation.kernel import Kernel, Process

_TICK = 1e-3


class Performs(Protocol):
    """What the runner needs of a performer."""

    def perform(self, state: ShardState, action: act.Action) -> Result: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The code under test, piece by piece, so that a planted bug can replace one."""

    decide: Callable[[ShardState, SharedState, Rules], act.Action] = decide
    performer: Callable[[Context, SharedStateStore], Performs] = Performer
    ledger: Callable[..., Ledger] = Ledger
    audit: Callable[..., Audit] = audit_jobs
    plan_redrive: Callable[..., tuple[Commit, int, list[Resend]]] = plan_redrive


class SimClock:
    """`Clock` for one process: its own rate and offset over the kernel's time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> float:
        return self._process.now()

    def wall(self) -> float:
        # For reports alone: it may jump at will, and nothing may depend on it.
        return self._process.kernel.random.uniform(0, 4e9)

    def sleep(self, seconds: float) -> None:
        process = self._process
        if process.kernel.faults.draw("sleep", ("freeze_before",)):
            process.kernel.freeze(process, "sleep")
        # Never less than a clock can tell: rounding must not keep a sleeper just before its time.
        process.kernel.pause(max(_TICK, seconds) / process.rate)


class SimRunner:
    """Drives shards as a lane does, in one thread.

    Args:
        context: simulated seams.
        state: of this process.
        process: in the kernel.
        parts: the code under test.
        halted: is told of an attempt whose answer cannot be used.
        one_round: leave what must wait, as `submit` and `advance` do.
    """

    def __init__(
        self,
        context: Context,
        shared: SharedStateStore,
        process: Process,
        parts: Parts,
        halted: Callable[[str], None],
        one_round: bool = False,
    ) -> None:
        self._halted, self._one_round = halted, one_round
        self._idle_since: dict[str, float] = {}
        self._context, self._shared, self._process, self._parts = context, shared, process, parts
        self._kernel: Kernel = process.kernel
        self._performer = parts.performer(context, shared)
        self._states: dict[str, ShardState] = {}
        self._renewals: dict[str, tuple[float, int]] = {}
        self._interrupted = False
        self._rollups = RollupWriter(context, ())
        self.left: dict[str, str] = {}

    def run(self, shards: Sequence[ShardPlan]) -> None:
        """Drive until each shard is settled or left; `left` says why."""
        self._start(shards)
        now = self._context.clock.now()
        due = [(now, plan.shard) for plan in shards]
        heapq.heapify(due)
        self._process.renew = self._renew
        while due:
            at, shard = heapq.heappop(due)
            now = self._context.clock.now()
            if at > now and not self._interrupted:
                self._sleep(at)
            again = self._step(shard)
            if again is not None:
                heapq.heappush(due, (again, shard))

    def _sleep(self, until: float) -> None:
        """Sleep; who holds a claim wakes often enough to renew it, as a lane does."""
        clock, slice_ = self._context.clock, longest_sleep(self._context.rules.lease)
        while (left := until - clock.now()) > 0:
            held = any(shard_is_sending(state) for state in self._states.values())
            clock.sleep(min(left, slice_) if held else left)
            self._renew()

    def _start(self, shards: Sequence[ShardPlan]) -> None:
        now = self._context.clock.now()
        known = dict(self._context.ledger.load((plan.shard for plan in shards), ages=True))
        self._shared.set_reservations(self._context.spend.read())
        self._shared.set_stopped(self._context.ledger.stopped())
        for plan in shards:
            records = known.get(plan.shard, ShardRecords())
            self._shared.count_recorded(records)
            self._shared.halt(halt_for_unusable_answers(records, self._context.rules.accept_repay))
            self._states[plan.shard] = state_of_shard(plan, records, now)
        still = [shard for shard, state in self._states.items() if state.settled is None]
        self._rollups = RollupWriter(self._context, still)

    def _step(self, shard: str) -> float | None:
        """One decision of a shard and what follows; when it is due again, None when it has left."""
        if self._kernel.faults.draw("interrupt", ("interrupt",)):
            self._interrupted = True
            self._shared.halt("interrupted")
        action = self._parts.decide(
            self._states[shard], self._shared.current(), self._context.rules
        )
        if isinstance(action, act.Finished):
            self._rollups.settled(shard)
            return None
        if isinstance(action, act.Defer | act.Halt):
            if isinstance(action, act.Halt):
                self._halted(f"{shard}/{action.attempt}")
                self._shared.halt(action.reason)
                self._context.ledger.suspect(shard, action.attempt, action.reason)
            self.left[shard] = action.reason
            return None
        if self._interrupted and not may_still_be_done(action):
            self.left[shard] = "interrupted"
            return None
        if isinstance(action, act.Wait):
            return None if self._waited_enough(shard, action.until) else action.until
        if not is_idle_action(action):
            self._idle_since.pop(shard, None)
        self._kernel.note(f"{self._process.name} does {shard} {action}"[:400])
        result = self._performer.perform(self._states[shard], action)
        now = self._context.clock.now()
        self._states[shard] = reduce(self._states[shard], action, result, now)
        return now

    def _waited_enough(self, shard: str, until: float) -> bool:
        """Whether one round is over for a shard, as a lane sees it."""
        if not may_leave_round(self._states[shard], others_at_work=False):
            return False
        since = self._idle_since.setdefault(shard, self._context.clock.now())
        enough = self._one_round and round_is_over(until, since)
        if enough:
            self.left[shard] = "it waits for the service"
        return enough

    def _renew(self) -> None:
        """Renew the claims that this process holds, as a lane does beside a long upload."""
        now = self._context.clock.now()
        for shard, state in self._states.items():
            for attempt in state.attempts.values():
                if not is_sending(attempt):
                    continue
                claim = f"{shard}/{attempt.path}.e{attempt.epoch}"
                last, count = self._renewals.get(claim, (attempt.local.claimed_at, 0))
                if renewal_is_due(last, now, self._context.rules.lease):
                    self._context.ledger.renew(shard, attempt.path, attempt.epoch, count + 1)
                    self._renewals[claim] = (now, count + 1)
