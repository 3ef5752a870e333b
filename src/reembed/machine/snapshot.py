"""Build the state of a shard from its records, and roll settled partitions up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reembed.core.names import attempt_order
from reembed.core.plans import ShardPlan
from reembed.core.records import (
    NOT_SENT,
    Child,
    Claim,
    Created,
    Need,
    Outcome,
    Redrive,
    RolledAttempt,
    RolledShard,
    Rollup,
    Settled,
)
from reembed.machine.states import AttemptState, ClaimState, Local, ShardState


@dataclass(frozen=True, slots=True)
class ShardRecords:
    """Everything the ledger has of one shard; ages in seconds by the storage's clock.

    `records_read_at` is when reading began, by the local clock; None where that was just now.
    """

    claims: Mapping[str, Mapping[int, Claim]] = field(default_factory=dict)
    ages: Mapping[tuple[str, int], float] = field(default_factory=dict)
    voids: frozenset[tuple[str, int]] = frozenset()
    created: Mapping[str, Created] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    stuck: frozenset[str] = frozenset()
    suspects: Mapping[str, str] = field(default_factory=dict)
    settled: Settled | None = None
    redrives: Mapping[int, Redrive] = field(default_factory=dict)
    records_read_at: float | None = None


def settlement_of(records: ShardRecords) -> Settled | None:
    """Return the settlement of a shard's newest generation; None while that is open.

    One of an older generation does not count: a redrive has opened the shard again.
    """
    newest = records.settled
    if newest is None or newest.generation < max(records.redrives, default=0):
        return None
    return newest


def state_of_shard(
    plan: ShardPlan, records: ShardRecords, now: float, before: ShardState | None = None
) -> ShardState:
    """Build the state of a shard from its records.

    Args:
        plan: the shard's plan.
        records: a fresh listing.
        now: the local clock when reading the records began.
        before: the state until now; what this process did is kept, but for a claim that it lost.
    """
    known = before.attempts if before is not None else {}
    children = _children(plan, records)
    attempts: dict[str, AttemptState] = {}
    for path in sorted(children, key=attempt_order):
        known_attempt = known.get(path) or new_attempt(plan, path, children[path])
        attempts[path] = _renew(known_attempt, records, now)
    base = before or ShardState(plan, {})
    newest, settled = records.settled, settlement_of(records)
    generation = max([newest.generation if newest is not None else 0, *records.redrives])
    return replace(
        base,
        attempts=attempts,
        generation=generation,
        redrive=records.redrives.get(generation),
        settled=settled,
        previous=None if settled is not None else newest,
    )


def _children(plan: ShardPlan, records: ShardRecords) -> dict[str, Child | None]:
    """Every attempt that exists by the outcomes: the root, and the children of outcomes."""
    found: dict[str, Child | None] = {"0": None} if plan.requests else {}
    found.update((str(generation), r.sent) for generation, r in sorted(records.redrives.items()))
    for path in sorted(records.outcomes, key=attempt_order):
        found.update(records.outcomes[path].children)
        # A roll-up keeps no children: what has an outcome was an attempt.
        found.setdefault(path, None)
    return found


def root_need(plan: ShardPlan) -> Need:
    """Return the most that an attempt over a whole shard takes when its input is a file."""
    return Need(
        usd_nano=plan.usd_nano,
        tokens=plan.total_tokens,
        jobs=1,
        input_bytes=plan.wire_bytes,
        result_bytes=plan.result_bytes,
    )


def new_attempt(plan: ShardPlan, path: str, child: Child | None) -> AttemptState:
    """An attempt of which nothing is known yet."""
    if child is None:
        return AttemptState(path, None, root_need(plan))
    return AttemptState(path, child.ordinals, child.need)


def _renew(base: AttemptState, records: ShardRecords, now: float) -> AttemptState:
    path = base.path
    claims = {
        epoch: ClaimState(
            claim, records.ages.get((path, epoch), 0.0), (path, epoch) in records.voids
        )
        for epoch, claim in records.claims.get(path, {}).items()
    }
    local = base.local
    if local.epoch and max(claims, default=0) > local.epoch:
        # Another process took over. Kept, what this one did would let it send beside the new
        # holder: its reservation, its file and the records that it read are void.
        local = Local()
    created = records.created.get(path, base.created)
    if (
        created is not None
        and local.pending_outcome is not None
        and local.pending_outcome.outcome.state == NOT_SENT
    ):
        # Another sent it after all; recorded as not sent, that paid job would be lost.
        local = replace(local, pending_outcome=None)
    return replace(
        base,
        claims=claims,
        created=created,
        outcome=records.outcomes.get(path, base.outcome),
        stuck=base.stuck or path in records.stuck,
        suspect=records.suspects.get(path, base.suspect),
        local=replace(local, records_read_at=now),
    )


def rollup_of(
    shards: Iterable[str], records: Mapping[str, ShardRecords], generation: int
) -> Rollup | None:
    """Roll up a partition; the same shards and generation give the same bytes in every process.

    Attempts are those that have outcomes: outcomes are all there before a shard settles and never
    change, while a `created` may still come late, from a process that froze.

    Args:
        shards: every shard that the plan has in the partition.
        records: what the ledger holds of them.
        generation: the newest in which rejects of the partition were sent again; 0 for none.

    Returns:
        None when a shard is not settled, or is of a later generation already.
    """
    rolled: dict[str, RolledShard] = {}
    for shard in sorted(shards):
        found = records.get(shard, ShardRecords())
        asked = max(found.redrives, default=0)
        if found.settled is None or not asked <= found.settled.generation <= generation:
            return None
        attempts = {
            path: RolledAttempt(state=outcome.state, job=outcome.job)
            for path, outcome in sorted(found.outcomes.items())
        }
        rolled[shard] = RolledShard(settled=found.settled, attempts=attempts)
    return Rollup(generation=generation, shards=rolled)


def records_of(rolled: RolledShard) -> ShardRecords:
    """Rebuild a shard's records from a roll-up: settlement, each attempt's state and job."""
    return ShardRecords(
        created={
            path: Created(job=attempt.job, display_name="", epoch=0)
            for path, attempt in rolled.attempts.items()
            if attempt.job
        },
        outcomes={
            path: Outcome(state=attempt.state, job=attempt.job)
            for path, attempt in rolled.attempts.items()
        },
        settled=rolled.settled,
    )
