"""A settled stripe in one record: from its shards' records, and back to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reembed.core.machine.records import Created, Outcome, RolledAttempt, RolledShard, Rollup
from reembed.core.machine.snapshot import ShardRecords


def rollup_of(
    shards: Iterable[str], records: Mapping[str, ShardRecords], generation: int
) -> Rollup | None:
    """Roll up a stripe; the same shards and generation give the same bytes, whoever asks.

    Attempts are those that have outcomes: outcomes are all there before a shard settles and never
    change, while a `created` may still come late, from a process that froze.

    Args:
        shards: every shard that the plan has in the stripe.
        records: what the ledger holds of them.
        generation: the newest in which rejects of the stripe were sent again; 0 for none.

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
    """What a roll-up keeps of a shard's records: its settlement, each attempt's state and job."""
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
