"""Lane: one control loop over many shards, with a small pool for slow operations."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from reembed.core.names import partitions_of, split_shard_id
from reembed.core.plans import PartitionPlan, ShardPlan
from reembed.core.records import Settled
from reembed.driver.context import Context
from reembed.driver.events import Event, event_of, log_event
from reembed.driver.interrupt import Interrupt
from reembed.driver.perform import SLOW_ACTIONS, Performer
from reembed.driver.progress import Progress, UntrackedShards
from reembed.driver.shared_state import SharedStateStore
from reembed.machine import actions as act
from reembed.machine.decide import decide
from reembed.machine.halts import halt_for_unusable_answers
from reembed.machine.reduce import Result, reduce
from reembed.machine.scheduling import (
    MAX_SEEKING,
    MAX_SENDING,
    has_begun,
    is_idle_action,
    is_sending,
    is_unsent,
    longest_sleep,
    may_leave_round,
    may_set_out,
    may_still_be_done,
    next_due,
    renewal_is_due,
    round_is_over,
    shard_is_sending,
    start_of,
)
from reembed.machine.snapshot import ShardRecords, settlement_of, state_of_shard
from reembed.machine.states import AttemptState, ShardState


class RollupWriter:
    """Rolls a partition up when the last of a lane's shards in it settles.

    Several lanes share a partition. Each checks once, after the last shard of its own there,
    whether all are settled: the last to check sees them all. What a lane that died leaves out is
    written at the end of the call.

    Args:
        context: the seams.
        open_shards: shards of this lane that were not settled when it began.
    """

    def __init__(self, context: Context, open_shards: Iterable[str]) -> None:
        self._context = context
        shards = list(open_shards)
        self._open: dict[str, set[str]] = {partition: set() for partition in partitions_of(shards)}
        for shard in shards:
            self._open[split_shard_id(shard)[0]].add(shard)

    def settled(self, shard: str) -> None:
        """Note that a shard is settled."""
        partition = split_shard_id(shard)[0]
        left = self._open.get(partition)
        if left is None:
            return
        left.discard(shard)
        if not left:
            del self._open[partition]
            self._roll_up(partition)

    def _roll_up(self, partition: str) -> None:
        context = self._context
        name = context.layout.partition(context.plan, int(partition))
        plan = PartitionPlan.decode(context.storage.read(name), name)
        context.ledger.roll_up(
            partition, [shard.shard for shard in plan.shards], context.generation
        )


# Fetching waits on the network while joining computes: two at a time keep both busy.
POOL_THREADS = 2
_LONGEST_SLEEP = 1.0


@dataclass(frozen=True, slots=True)
class UnsettledShard:
    """Shard that this lane did not settle, and why; with `fails`, only the user can decide."""

    shard: str
    reason: str
    fails: bool = False


LaneResult = Settled | UnsettledShard


class Lane:
    """Drives shards until each is settled or must be left.

    The loop itself does what is quick (ledger records, polls); preparing, uploading, fetching and
    joining run in the pool, so that parsing one result never stops the polling of others.

    Args:
        context: the seams.
        shared: state that all lanes of this process share.
        progress: gets the states now and then.
        interrupt: once set, nothing new is begun, what was not sent is taken back, and the
            lane leaves; what runs remotely goes on there.
        one_round: leave what must wait for more than a moment, instead of waiting.
    """

    def __init__(
        self,
        context: Context,
        shared: SharedStateStore,
        progress: Progress,
        interrupt: Interrupt,
        one_round: bool = False,
    ) -> None:
        self._context, self._shared, self._progress = context, shared, progress
        self._interrupt, self._one_round = interrupt, one_round
        self._performer = Performer(context, shared)
        self._spec = context.config.model.spec()
        self._states: dict[str, ShardState] = {}
        self._due: list[tuple[float, str]] = []
        self._busy: dict[Future[Result], tuple[str, act.Action]] = {}
        self._renewed: dict[str, tuple[float, int]] = {}
        self._sending: set[str] = set()
        self._ready_to_send: deque[str] = deque()
        self._full = False
        self._idle_since: dict[str, float] = {}
        # Ordered by links: in a plain dictionary that lost its first entries the first is sought.
        self._unstarted: OrderedDict[str, ShardPlan] = OrderedDict()
        self._seeking: set[str] = set()
        self._settled: deque[tuple[str, Settled]] = deque()
        self._deferred_early, self._lines_seen, self._loaded_at = 0, 0, 0.0
        self._untracked = UntrackedShards()
        self._rollups = RollupWriter(context, ())

    def run(self, shards: Sequence[ShardPlan]) -> Iterator[tuple[str, LaneResult]]:
        """Yield each shard with how it ended, as it ends.

        Raises:
            RunFailedError: the run cannot go on; what runs remotely goes on there.
        """
        self._start(shards)
        while self._settled:
            yield self._settled.popleft()
        with ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="reembed-lane") as pool:
            try:
                while self._due or self._busy or self._ready_to_send:
                    self._collect()
                    if self._interrupt.is_set():
                        yield from self._leave()
                        continue
                    yield from self._round(pool)
                    self._note()
                    self._sleep()
            except BaseException:
                # Waiting for a download of an hour would hide the error that long.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._note(last=True)

    def _note(self, last: bool = False) -> None:
        self._untracked.planned = len(self._unstarted) + self._deferred_early
        self._progress.update(self._states, self._untracked, self._shared.current(), last)

    def _start(self, shards: Sequence[ShardPlan]) -> None:
        """Read the ledger, roll-ups first, then begin with every shard.

        Of settled shards little is kept, and of those that nobody has begun nothing but the plan:
        a lane may have a hundred thousand of either.
        """
        # Records count as read from here on: a process that froze while it read them must not take
        # them for fresh.
        self._loaded_at = self._context.clock.now()
        known, over = dict[str, ShardRecords](), dict[str, Settled]()
        for shard, records in self._context.ledger.load((p.shard for p in shards), ages=True):
            self._learn(records)
            settled = settlement_of(records)
            if settled is not None:
                over[shard] = settled
            else:
                known[shard] = records
        # After the records, since a reservation comes before the claim's job: read the other way
        # round, a job recorded between would stand there without its reservation.
        reservations = self._context.spend.read()
        self._shared.set_reservations(reservations)
        self._shared.set_stopped(self._context.ledger.stopped())
        reserved = reservations.shards()
        listed = {shard for shard, _ in self._shared.current().listed_jobs}
        for plan in shards:
            shard = plan.shard
            start = start_of(shard, shard in over, known, reserved, listed)
            if start == "later":
                self._unstarted[shard] = plan
            elif start == "settled":
                self._untracked.settle(over[shard])
                self._settled.append((shard, over[shard]))
            elif shard in over:
                self._begin(plan, self._context.ledger.look(shard))
            else:
                self._begin(plan, known.get(shard, ShardRecords()))
        self._rollups = RollupWriter(
            self._context, (p.shard for p in shards if p.shard not in over)
        )
        self._admit()

    def _learn(self, records: ShardRecords) -> None:
        """Take in what a shard's records mean for all shards."""
        self._shared.count_recorded(records)
        self._shared.halt(halt_for_unusable_answers(records, self._context.rules.accept_repay))

    def _begin(self, plan: ShardPlan, records: ShardRecords) -> None:
        self._states[plan.shard] = state_of_shard(plan, records, self._loaded_at)
        heapq.heappush(self._due, (self._context.clock.now(), plan.shard))

    def _admit(self) -> None:
        """Let the next shards seek admission, as many as may at a time."""
        for shard in list(islice(self._unstarted, max(0, MAX_SEEKING - len(self._seeking)))):
            self._seeking.add(shard)
            self._begin(self._unstarted.pop(shard), ShardRecords())

    def _admit_reserved(self) -> None:
        """Admit shards that another runner reserved for: it may die, the reservation stays."""
        reservations = self._shared.current().reservations
        if self._unstarted and reservations.lines != self._lines_seen:
            self._lines_seen = reservations.lines
            for shard in reservations.shards() & self._unstarted.keys():
                self._begin(self._unstarted.pop(shard), ShardRecords())

    def _round(self, pool: ThreadPoolExecutor) -> Iterator[tuple[str, LaneResult]]:
        """Give every shard that is due its next actions, up to one that waits or takes long."""
        now = self._context.clock.now()
        self._full = False
        self._admit_reserved()
        later: list[tuple[float, str]] = []
        for _ in range(min(len(self._ready_to_send), MAX_SENDING - len(self._sending))):
            heapq.heappush(self._due, (now, self._ready_to_send.popleft()))
        while self._due and self._due[0][0] <= now:
            due, shard = heapq.heappop(self._due)
            action = decide(self._states[shard], self._shared.current(), self._context.rules)
            if isinstance(action, act.Wait) and self._is_round_over(shard, action.until, now):
                yield shard, self._end(shard, act.Defer("it waits for the service"))
            elif isinstance(action, act.Wait):
                later.append((next_due(action.until, now, self._one_round), shard))
            elif isinstance(action, act.Finished | act.Defer | act.Halt):
                yield shard, self._end(shard, action)
            elif not may_set_out(action, shard, self._sending):
                self._ready_to_send.append(shard)
            elif isinstance(action, SLOW_ACTIONS):
                if not self._submit(pool, shard, action):
                    later.append((due, shard))  # the first in the next round
            else:
                self._apply(shard, action, self._perform(shard, action))
        for entry in later:
            heapq.heappush(self._due, entry)

    def _is_round_over(self, shard: str, until: float, now: float) -> bool:
        """Tell whether this call, of one round, leaves a shard that waits."""
        if not self._one_round or not may_leave_round(self._states[shard], self._is_at_work()):
            return False
        return round_is_over(until, self._idle_since.setdefault(shard, now))

    def _is_at_work(self) -> bool:
        """Tell whether any shard that has its job has something to do now."""
        now = self._context.clock.now()
        due = (shard for at, shard in self._due if at <= now)
        return bool(self._busy) or any(not is_unsent(self._states[shard]) for shard in due)

    def _end(self, shard: str, action: act.Finished | act.Defer | act.Halt) -> LaneResult:
        self._sending.discard(shard)
        if shard in self._seeking or isinstance(action, act.Finished):
            del self._states[shard]  # only its count is still shown
            self._deferred_early += not isinstance(action, act.Finished)
        if shard in self._seeking:
            self._admit_next(shard)
        if isinstance(action, act.Finished):
            self._untracked.settle(action.settled)
            self._rollups.settled(shard)
            return action.settled
        if isinstance(action, act.Halt):
            # On record, so that a later call creates nothing either before the user decides.
            self._context.ledger.suspect(shard, action.attempt, action.reason)
            self._shared.halt(action.reason)
            self._observe(Event("halted", shard, action.attempt, reason=action.reason, severe=True))
            return UnsettledShard(shard, action.reason)
        return UnsettledShard(shard, action.reason, action.fails)

    def _admit_next(self, shard: str) -> None:
        """Let another shard seek admission: this one has its claim, or has left."""
        self._seeking.discard(shard)
        self._admit()

    def _submit(self, pool: ThreadPoolExecutor, shard: str, action: act.Action) -> bool:
        """Give an action to the pool; False, for the rest of the round, when the pool is full."""
        # A create must not queue: records that are older than a few seconds forbid the send.
        room = POOL_THREADS if isinstance(action, act.Create) else 2 * POOL_THREADS
        self._full = self._full or len(self._busy) >= room
        if not self._full:
            self._busy[pool.submit(self._perform, shard, action)] = (shard, action)
        return not self._full

    def _leave(self) -> Iterator[tuple[str, LaneResult]]:
        """Take back what was not sent, record what was, and leave every shard."""
        # As a halt, so that `decide` gives back what was not sent instead of going on with it.
        self._shared.halt("interrupted")
        begun = [future for future in self._busy if not future.cancel()]
        waiting = [self._busy.pop(future)[0] for future in list(self._busy) if future not in begun]
        shards = [*waiting, *self._ready_to_send, *(shard for _, shard in self._due)]
        self._ready_to_send.clear()
        self._due = [(0.0, shard) for shard in sorted(shards)]
        while self._due:
            shard = heapq.heappop(self._due)[1]
            action = decide(self._states[shard], self._shared.current(), self._context.rules)
            if isinstance(action, act.Finished):
                yield shard, self._end(shard, action)
            elif may_still_be_done(action):
                self._apply(shard, action, self._perform(shard, action))
            else:
                yield shard, UnsettledShard(shard, "interrupted")
        yield from ((shard, UnsettledShard(shard, "interrupted")) for shard in self._unstarted)
        self._deferred_early += len(self._unstarted)
        self._unstarted.clear()
        if begun:
            wait(begun, timeout=_LONGEST_SLEEP, return_when=FIRST_COMPLETED)

    def _observe(self, event: Event | None) -> None:
        if event is not None:
            log_event(event, self._context.rules.run)
            self._context.watch.on_event(event)

    def _perform(self, shard: str, action: act.Action) -> Result:
        return self._performer.perform(self._states[shard], action)

    def _apply(self, shard: str, action: act.Action, result: Result) -> None:
        now = self._context.clock.now()
        self._observe(event_of(self._states[shard], action, result, self._spec))
        if not is_idle_action(action):
            self._idle_since.pop(shard, None)
        state = self._states[shard] = reduce(self._states[shard], action, result, now)
        heapq.heappush(self._due, (now, shard))
        if shard in self._seeking and has_begun(state):
            self._admit_next(shard)
        if shard_is_sending(state):
            self._sending.add(shard)
        else:
            self._sending.discard(shard)

    def _collect(self) -> None:
        """Take over what the pool has finished; keep the claims of what is still on its way."""
        # Results come in here, on the lane's thread, so that no two threads change one state.
        for future in [f for f in self._busy if f.done()]:
            shard, action = self._busy.pop(future)
            self._apply(shard, action, future.result())
        for shard in sorted(self._sending):
            for attempt in self._states[shard].attempts.values():
                if is_sending(attempt):
                    self._renew(shard, attempt)

    def _renew(self, shard: str, attempt: AttemptState) -> None:
        claim = f"{shard}/{attempt.path}.e{attempt.epoch}"
        now = self._context.clock.now()
        last, count = self._renewed.get(claim, (attempt.local.claimed_at, 0))
        if renewal_is_due(last, now, self._context.rules.lease):
            self._context.ledger.renew(shard, attempt.path, attempt.epoch, count + 1)
            self._renewed[claim] = (now, count + 1)

    def _sleep(self) -> None:
        """Sleep until the next shard is due or the pool has finished something."""
        now = self._context.clock.now()
        longest = min(_LONGEST_SLEEP, longest_sleep(self._context.rules.lease))
        pause = min(self._due[0][0] - now, longest) if self._due else longest
        ended = not (self._due or self._busy or self._ready_to_send)
        freed = bool(self._ready_to_send) and len(self._sending) < MAX_SENDING
        if ended or freed or (pause <= 0 and not self._full):
            return
        pause = max(pause, 0.05)
        if self._busy:
            wait(list(self._busy), timeout=pause, return_when=FIRST_COMPLETED)
        else:
            self._context.clock.sleep(pause)
