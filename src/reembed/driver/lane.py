"""A lane: one control loop over many shards, and a small pool for what takes long."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from reembed.core.machine import actions as act
from reembed.core.machine.apply import Result, apply
from reembed.core.machine.decide import decide
from reembed.core.machine.records import Settled
from reembed.core.machine.snapshot import ShardRecords, view_of
from reembed.core.machine.view import ShardView
from reembed.core.names import split_shard_id
from reembed.core.shards import ShardPlan
from reembed.driver.perform import HEAVY, Performer
from reembed.driver.progress import Progress
from reembed.driver.state import RunState
from reembed.driver.tools import Tools

# Fetching waits on the network while joining computes: two at a time keep both busy.
POOL = 2
_LONGEST_SLEEP = 1.0
# What is still done after an interruption: quick, and it spares the next call a wait.
_TAKING_BACK = (act.DeleteInput, act.Release, act.MakeVoid, act.RecordCreated, act.RecordOutcome)


@dataclass(frozen=True, slots=True)
class Left:
    """A shard that this lane did not settle, and why."""

    shard: str
    reason: str


LaneResult = Settled | Left


class Lane:
    """Drives shards until each is settled or must be left.

    The loop itself does what is quick (ledger records, polls); preparing, uploading, fetching and
    joining run in the pool, so that parsing one result never stops the polling of others.

    Args:
        tools: the seams.
        state: shared with other lanes of this process.
        progress: is told the views now and then.
        interrupted: once set, nothing new is begun, what was not sent is taken back, and the
            lane leaves; what runs remotely goes on there.
    """

    def __init__(
        self, tools: Tools, state: RunState, progress: Progress, interrupted: threading.Event
    ) -> None:
        self._tools, self._state, self._progress = tools, state, progress
        self._interrupted = interrupted
        self._performer = Performer(tools, state)
        self._views: dict[str, ShardView] = {}
        self._due: list[tuple[float, str]] = []
        self._busy: dict[Future[Result], tuple[str, act.Action]] = {}
        self._renewed: dict[str, tuple[float, int]] = {}

    def run(self, shards: Sequence[ShardPlan]) -> Iterator[tuple[str, LaneResult]]:
        """Yield each shard with how it ended, as it ends.

        Raises:
            RunFailedError: the run cannot go on; what runs remotely goes on there.
        """
        self._start(shards)
        with ThreadPoolExecutor(POOL, thread_name_prefix="reembed-lane") as pool:
            try:
                while self._due or self._busy:
                    self._collect()
                    if self._interrupted.is_set():
                        yield from self._leave()
                        continue
                    yield from self._round(pool)
                    self._progress.tell(self._views, self._state.world())
                    self._sleep()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._progress.tell(self._views, self._state.world(), last=True)

    def _start(self, shards: Sequence[ShardPlan]) -> None:
        """Read what the ledger knows, by one listing a stripe, then begin with every shard."""
        now = self._tools.clock.now()
        self._state.set_book(self._tools.spend.read())
        self._state.set_stopped(self._tools.ledger.stopped())
        stripes = sorted({split_shard_id(plan.shard)[0] for plan in shards})
        known: dict[str, ShardRecords] = {}
        for stripe in stripes:
            known.update(self._tools.ledger.load_stripe(stripe))
        for plan in shards:
            records = known.get(plan.shard, ShardRecords())
            self._views[plan.shard] = view_of(plan, records, now)
            heapq.heappush(self._due, (now, plan.shard))

    def _round(self, pool: ThreadPoolExecutor) -> Iterator[tuple[str, LaneResult]]:
        """Give every shard that is due its next actions, up to one that waits or takes long."""
        now = self._tools.clock.now()
        later: list[tuple[float, str]] = []
        while self._due and self._due[0][0] <= now:
            shard = heapq.heappop(self._due)[1]
            action = decide(self._views[shard], self._state.world(), self._tools.rules)
            if isinstance(action, act.Wait):
                later.append((action.until, shard))
            elif isinstance(action, act.Finished):
                yield shard, action.settled
            elif isinstance(action, act.Leave):
                yield shard, Left(shard, action.reason)
            elif isinstance(action, act.Halt):
                self._state.halt(action.reason)
                yield shard, Left(shard, action.reason)
            elif isinstance(action, HEAVY):
                if len(self._busy) >= 2 * POOL:
                    later.append((now, shard))
                    break
                self._busy[pool.submit(self._perform, shard, action)] = (shard, action)
            else:
                self._apply(shard, action, self._perform(shard, action))
        for entry in later:
            heapq.heappush(self._due, entry)

    def _leave(self) -> Iterator[tuple[str, LaneResult]]:
        """Take back what was not sent, record what was, and leave every shard."""
        self._state.halt("interrupted")
        if self._busy:
            wait(list(self._busy), timeout=1.0, return_when=FIRST_COMPLETED)
        while self._due:
            shard = heapq.heappop(self._due)[1]
            action = decide(self._views[shard], self._state.world(), self._tools.rules)
            if isinstance(action, act.Finished):
                yield shard, action.settled
            elif isinstance(action, _TAKING_BACK):
                self._apply(shard, action, self._perform(shard, action))
            else:
                yield shard, Left(shard, "interrupted")

    def _perform(self, shard: str, action: act.Action) -> Result:
        return self._performer.perform(self._views[shard], action)

    def _apply(self, shard: str, action: act.Action, result: Result) -> None:
        now = self._tools.clock.now()
        self._views[shard] = apply(self._views[shard], action, result, now)
        heapq.heappush(self._due, (now, shard))

    def _collect(self) -> None:
        """Take over what the pool has finished; keep the claims of what it still works on."""
        for future in [f for f in self._busy if f.done()]:
            shard, action = self._busy.pop(future)
            self._apply(shard, action, future.result())
        now = self._tools.clock.now()
        for shard, action in self._busy.values():
            if isinstance(action, act.Prepare | act.Upload):
                self._renew(shard, action, now)

    def _renew(self, shard: str, action: act.Prepare | act.Upload, now: float) -> None:
        claim = f"{shard}/{action.attempt}.e{action.epoch}"
        since = self._views[shard].attempts[action.attempt].local.claimed_at
        last, count = self._renewed.get(claim, (since, 0))
        if now - last >= self._tools.rules.lease / 3:
            self._tools.ledger.renew(shard, action.attempt, action.epoch, count + 1)
            self._renewed[claim] = (now, count + 1)

    def _sleep(self) -> None:
        """Sleep until the next shard is due or the pool has finished something."""
        now = self._tools.clock.now()
        pause = min(self._due[0][0] - now, _LONGEST_SLEEP) if self._due else _LONGEST_SLEEP
        if pause <= 0 and len(self._busy) < 2 * POOL:
            return
        pause = max(pause, 0.05)
        if self._busy:
            wait(list(self._busy), timeout=pause, return_when=FIRST_COMPLETED)
        else:
            self._tools.clock.sleep(pause)
