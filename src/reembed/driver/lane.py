"""Lane: one control loop over many shards, with a small pool for slow operations."""

from __future__ import annotations

import heapq
import threading
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
from reembed.driver.perform import SLOW_ACTIONS, Performer
from reembed.driver.progress import Progress, UntrackedShards
from reembed.driver.state import SharedStateStore
from reembed.machine import actions as act
from reembed.machine.decide import decide
from reembed.machine.reduce import Result, reduce
from reembed.machine.reservations import Reservations
from reembed.machine.snapshot import ShardRecords, is_settled, state_of_shard
from reembed.machine.states import AttemptState, ShardState


class RollupWriter:
    """Watches the shards of one lane settle.

    Several lanes share a partition. Each asks once, after the last shard of its own there, whether
    all are settled: the last to ask sees them all. What a lane that died leaves out, the end of
    the call writes.

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
        """A shard is settled."""
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
# Shards between claim and job at a time: each holds a lease, room in the budget, and a file.
MAX_SENDING = 2 * POOL_THREADS
# Shards that ask for room at a time, in input order: a run has many times more, and each that asks
# is decided again every few seconds. Enough to find one that fits what the others leave.
MAX_SEEKING = 64
_LONGEST_SLEEP = 1.0
# What one round still waits for, in seconds.
_MOMENT = 1.0
# Actions that only ask how things stand.
_ASKING = (act.ReloadRecords, act.RefreshReservations, act.ListJobs, act.Poll)
# A lease is renewed after a third of it.
_RENEWALS = 3
# What is still done after an interruption: quick, and it spares the next call a wait.
_TAKING_BACK = (
    act.DeleteInput,
    act.Release,
    act.ReleaseClaim,
    act.RecordCreated,
    act.RecordOutcome,
)


@dataclass(frozen=True, slots=True)
class UnsettledShard:
    """A shard that this lane did not settle, and why; with `fails`, until the user decides."""

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
        state: shared with other lanes of this process.
        progress: gets the states now and then.
        interrupted: once set, nothing new is begun, what was not sent is taken back, and the
            lane leaves; what runs remotely goes on there.
        one_round: leave what must wait for more than a moment, instead of waiting.
    """

    def __init__(
        self,
        context: Context,
        shared: SharedStateStore,
        progress: Progress,
        interrupted: threading.Event,
        one_round: bool = False,
    ) -> None:
        self._context, self._shared, self._progress = context, shared, progress
        self._interrupted, self._one_round = interrupted, one_round
        self._performer = Performer(context, shared)
        self._spec = context.config.model.spec()
        self._states: dict[str, ShardState] = {}
        self._due: list[tuple[float, str]] = []
        self._busy: dict[Future[Result], tuple[str, act.Action]] = {}
        self._renewed: dict[str, tuple[float, int]] = {}
        self._sending: set[str] = set()
        self._held: deque[str] = deque()
        self._full = False
        self._idle_since: dict[str, float] = {}
        # Ordered by links: in a plain dictionary that lost its first entries the first is sought.
        self._later: OrderedDict[str, ShardPlan] = OrderedDict()
        self._asking: set[str] = set()
        self._settled: deque[tuple[str, Settled]] = deque()
        self._turned_away, self._lines, self._loaded_at = 0, 0, 0.0
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
                while self._due or self._busy or self._held:
                    self._collect()
                    if self._interrupted.is_set():
                        yield from self._leave()
                        continue
                    yield from self._round(pool)
                    self._note()
                    self._sleep()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._note(last=True)

    def _note(self, last: bool = False) -> None:
        self._untracked.planned = len(self._later) + self._turned_away
        self._progress.tell(self._states, self._untracked, self._shared.current(), last)

    def _start(self, shards: Sequence[ShardPlan]) -> None:
        """Read what the ledger knows, roll-ups first, then begin with every shard.

        Of settled shards little is kept, and of those that nobody has begun nothing but the plan:
        a lane may have a hundred thousand of either.
        """
        self._loaded_at = self._context.clock.now()
        known, over = dict[str, ShardRecords](), dict[str, Settled]()
        for shard, records in self._context.ledger.load((p.shard for p in shards), ages=True):
            self._learn(records)
            if records.settled is not None and is_settled(records):
                over[shard] = records.settled
            else:
                known[shard] = records
        # After the records, since a reservation comes before the claim's job: read the other way
        # round, a job recorded between would stand there without its reservation.
        reservations = self._context.spend.read()
        self._shared.set_reservations(reservations)
        self._shared.set_stopped(self._context.ledger.stopped())
        reserved = _shards_in(reservations)
        listed = {shard for shard, _ in self._shared.current().listed_jobs}
        for plan in shards:
            shard = plan.shard
            if shard in over and shard in reserved:
                self._begin(plan, self._context.ledger.look(shard))  # to give it back
            elif shard in over:
                self._untracked.settle(over[shard])
                self._settled.append((shard, over[shard]))
            elif shard in known or shard in reserved or shard in listed:
                self._begin(plan, known.get(shard, ShardRecords()))
            else:
                self._later[shard] = plan
        self._rollups = RollupWriter(self._context, (p.shard for p in shards if p.shard not in over))
        self._admit()

    def _learn(self, records: ShardRecords) -> None:
        """Take from a shard's records what concerns all shards."""
        for outcome in records.outcomes.values():
            # Only what came through: jobs refused in an earlier call were counted there.
            if outcome.state == "SUCCEEDED":
                self._shared.job_ended(outcome.state, request_shaped=False)
        for attempt, reason in sorted(records.suspects.items()):
            if attempt not in records.outcomes and not self._context.rules.accept_repay:
                self._shared.halt(reason)

    def _begin(self, plan: ShardPlan, records: ShardRecords) -> None:
        self._states[plan.shard] = state_of_shard(plan, records, self._loaded_at)
        heapq.heappush(self._due, (self._context.clock.now(), plan.shard))

    def _admit(self) -> None:
        """Let the next shards ask for room, as many as may at a time."""
        for shard in list(islice(self._later, max(0, MAX_SEEKING - len(self._asking)))):
            self._asking.add(shard)
            self._begin(self._later.pop(shard), ShardRecords())

    def _admit_reserved(self) -> None:
        """Admit shards that another runner reserved for: it may die, the reservation stays."""
        reservations = self._shared.current().reservations
        if self._later and reservations.lines != self._lines:
            self._lines = reservations.lines
            for shard in _shards_in(reservations) & self._later.keys():
                self._begin(self._later.pop(shard), ShardRecords())

    def _round(self, pool: ThreadPoolExecutor) -> Iterator[tuple[str, LaneResult]]:
        """Give every shard that is due its next actions, up to one that waits or takes long."""
        now = self._context.clock.now()
        self._full = False
        self._admit_reserved()
        later: list[tuple[float, str]] = []
        for _ in range(min(len(self._held), MAX_SENDING - len(self._sending))):
            heapq.heappush(self._due, (now, self._held.popleft()))
        while self._due and self._due[0][0] <= now:
            due, shard = heapq.heappop(self._due)
            action = decide(self._states[shard], self._shared.current(), self._context.rules)
            if isinstance(action, act.Wait) and self._waited_enough(shard, action.until, now):
                yield shard, self._end(shard, act.Defer("it waits for the service"))
            elif isinstance(action, act.Wait):
                again = now + _MOMENT if self._one_round else action.until
                later.append((min(again, action.until), shard))
            elif isinstance(action, act.Finished | act.Defer | act.Halt):
                yield shard, self._end(shard, action)
            elif _would_send(action) and self._must_hold(shard):
                self._held.append(shard)
            elif isinstance(action, SLOW_ACTIONS):
                if not self._submit(pool, shard, action):
                    later.append((due, shard))  # and so it is the first in the next round
            else:
                self._apply(shard, action, self._perform(shard, action))
        for entry in later:
            heapq.heappush(self._due, entry)

    def _waited_enough(self, shard: str, until: float, now: float) -> bool:
        """Whether one round is over for a shard: it has only waited and asked for a moment."""
        # A claim is seen through: the next round would have to wait it out, and begin anew.
        attempts = self._states[shard].attempts.values()
        if any(is_sending(attempt) or is_sealed(attempt) for attempt in attempts):
            return False
        if self._is_unsent(shard) and self._is_at_work():
            return False  # what is collected now may give it room
        return self._one_round and until > self._idle_since.setdefault(shard, now) + _MOMENT

    def _is_unsent(self, shard: str) -> bool:
        """Whether something of a shard has no job yet; it waits for room where it waits."""
        attempts = self._states[shard].attempts.values()
        return any(a.created is None and a.outcome is None for a in attempts)

    def _is_at_work(self) -> bool:
        """Whether any shard that has its job has something to do now."""
        now = self._context.clock.now()
        due = (shard for at, shard in self._due if at <= now)
        return bool(self._busy) or any(not self._is_unsent(shard) for shard in due)

    def _end(self, shard: str, action: act.Finished | act.Defer | act.Halt) -> LaneResult:
        self._sending.discard(shard)
        if shard in self._asking or isinstance(action, act.Finished):
            del self._states[shard]  # there is nothing left to show of it but its count
            self._turned_away += not isinstance(action, act.Finished)
        if shard in self._asking:
            self._asked(shard)
        if isinstance(action, act.Finished):
            self._untracked.settle(action.settled)
            self._rollups.settled(shard)
            return action.settled
        if isinstance(action, act.Halt):
            # On record, so that a later call creates nothing either before the user decides.
            self._context.ledger.suspect(shard, action.attempt, action.reason)
            self._shared.halt(action.reason)
            self._tell(Event("halted", shard, action.attempt, why=action.reason, severe=True))
            return UnsettledShard(shard, action.reason)
        return UnsettledShard(shard, action.reason, action.fails)

    def _asked(self, shard: str) -> None:
        """It has its claim, or has left: another may ask."""
        self._asking.discard(shard)
        self._admit()

    def _must_hold(self, shard: str) -> bool:
        """Whether enough other shards are on their way to a job; one on its way always goes on."""
        return len(self._sending) >= MAX_SENDING and shard not in self._sending

    def _submit(self, pool: ThreadPoolExecutor, shard: str, action: act.Action) -> bool:
        """Give an action to the pool; False, for the rest of the round, when it has no room."""
        # A create must not queue: it is sent right after its look, or looks again.
        room = POOL_THREADS if isinstance(action, act.Create) else 2 * POOL_THREADS
        self._full = self._full or len(self._busy) >= room
        if not self._full:
            self._busy[pool.submit(self._perform, shard, action)] = (shard, action)
        return not self._full

    def _leave(self) -> Iterator[tuple[str, LaneResult]]:
        """Take back what was not sent, record what was, and leave every shard."""
        self._shared.halt("interrupted")
        begun = [future for future in self._busy if not future.cancel()]
        waiting = [self._busy.pop(future)[0] for future in list(self._busy) if future not in begun]
        shards = [*waiting, *self._held, *(shard for _, shard in self._due)]
        self._held.clear()
        self._due = [(0.0, shard) for shard in sorted(shards)]
        while self._due:
            shard = heapq.heappop(self._due)[1]
            action = decide(self._states[shard], self._shared.current(), self._context.rules)
            if isinstance(action, act.Finished):
                yield shard, self._end(shard, action)
            elif isinstance(action, _TAKING_BACK):
                self._apply(shard, action, self._perform(shard, action))
            else:
                yield shard, UnsettledShard(shard, "interrupted")
        yield from ((shard, UnsettledShard(shard, "interrupted")) for shard in self._later)
        self._turned_away += len(self._later)
        self._later.clear()
        if begun:
            wait(begun, timeout=_LONGEST_SLEEP, return_when=FIRST_COMPLETED)

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            log_event(event, self._context.rules.run)
            self._context.watch.on_event(event)

    def _perform(self, shard: str, action: act.Action) -> Result:
        return self._performer.perform(self._states[shard], action)

    def _apply(self, shard: str, action: act.Action, result: Result) -> None:
        now = self._context.clock.now()
        self._tell(event_of(self._states[shard], action, result, self._spec))
        if not isinstance(action, _ASKING):
            self._idle_since.pop(shard, None)
        state = self._states[shard] = reduce(self._states[shard], action, result, now)
        heapq.heappush(self._due, (now, shard))
        if shard in self._asking and any(a.epoch or a.created for a in state.attempts.values()):
            self._asked(shard)
        if any(is_sending(attempt) for attempt in state.attempts.values()):
            self._sending.add(shard)
        else:
            self._sending.discard(shard)

    def _collect(self) -> None:
        """Take over what the pool has finished; keep the claims of what is still on its way."""
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
        if now - last >= self._context.rules.lease / _RENEWALS:
            self._context.ledger.renew(shard, attempt.path, attempt.epoch, count + 1)
            self._renewed[claim] = (now, count + 1)

    def _sleep(self) -> None:
        """Sleep until the next shard is due or the pool has finished something."""
        now = self._context.clock.now()
        longest = min(_LONGEST_SLEEP, self._context.rules.lease / (2 * _RENEWALS))
        pause = min(self._due[0][0] - now, longest) if self._due else longest
        ended = not (self._due or self._busy or self._held)
        freed = bool(self._held) and len(self._sending) < MAX_SENDING
        if ended or freed or (pause <= 0 and not self._full):
            return
        pause = max(pause, 0.05)
        if self._busy:
            wait(list(self._busy), timeout=pause, return_when=FIRST_COMPLETED)
        else:
            self._context.clock.sleep(pause)


def _shards_in(reservations: Reservations) -> set[str]:
    """The shards for which something is reserved."""
    return {attempt.rpartition("/")[0] for attempt in reservations.live}


def _would_send(action: act.Action) -> bool:
    """Whether an action sets out for a job; a sealed claim does the opposite."""
    return isinstance(action, act.MakeClaim) and not action.sealed


def is_sealed(attempt: AttemptState) -> bool:
    """Whether an attempt is closed and has not ended yet."""
    return bool(attempt.sealed) and attempt.created is None and attempt.outcome is None


def is_sending(attempt: AttemptState) -> bool:
    """Whether this process holds the claim of an attempt that has not been sent yet."""
    local = attempt.local
    held = (
        local.epoch > 0 and local.epoch == attempt.epoch and local.create_unanswered_since is None
    )
    held = held and not attempt.sealed
    return (
        held
        and attempt.created is None
        and attempt.outcome is None
        and local.pending_outcome is None
    )
