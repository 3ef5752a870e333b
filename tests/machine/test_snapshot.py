"""The state of a shard by its records, and partitions rolled up to the same bytes by anybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reembed.core.plans import ShardPlan
from reembed.core.records import Child, Claim, Created, Need, Outcome, Redrive, Settled
from reembed.machine.snapshot import (
    ShardRecords,
    records_of,
    rollup_of,
    root_need,
    settlement_of,
    state_of_shard,
)
from reembed.machine.states import Local

PLAN = ShardPlan(
    shard="00000000-000001", chunks=10, requests=10, canaries=0, rejects=0, tokens={"text": 9},
    wire_bytes=5, result_bytes=7, usd_nano=3, fingerprint="f" * 64,
)  # fmt: skip
CHILD = Child(ordinals=((3, 4),), need=Need(tokens=1))
DONE = Outcome(state="SUCCEEDED", job="batches/1", children={"0.0": CHILD})
SETTLED = Settled(generation=0, planned=10, rows=10, rejects=0, jobs=1, attempts=1)
AGAIN = Redrive(sent=CHILD, chunks=1)


def test_a_shard_of_which_nothing_is_known_has_its_root() -> None:
    state = state_of_shard(PLAN, ShardRecords(), 5.0)
    assert list(state.attempts) == ["0"]
    root = state.attempts["0"]
    assert (root.need, root.ordinals, root.local.records_read_at) == (root_need(PLAN), None, 5.0)
    assert state_of_shard(replace_requests(0), ShardRecords(), 5.0).attempts == {}


def replace_requests(requests: int) -> ShardPlan:
    return PLAN.model_copy(update={"requests": requests})


def test_children_and_redrives_are_attempts() -> None:
    records = ShardRecords(outcomes={"0": DONE}, redrives={1: AGAIN})
    state = state_of_shard(PLAN, records, 0.0)
    assert list(state.attempts) == ["0", "0.0", "1"]
    assert state.attempts["0.0"].ordinals == ((3, 4),)
    assert (state.generation, state.redrive) == (1, AGAIN)


def test_a_settlement_counts_until_a_redrive_opens_the_shard() -> None:
    settled = ShardRecords(settled=SETTLED)
    assert settlement_of(settled) == SETTLED
    opened = replace(settled, redrives={1: AGAIN})
    assert settlement_of(opened) is None
    state = state_of_shard(PLAN, opened, 0.0)
    assert (state.settled, state.previous) == (None, SETTLED)


def test_what_this_process_did_is_lost_with_its_claim() -> None:
    before = state_of_shard(PLAN, ShardRecords(), 0.0)
    mine = replace(before.attempts["0"], local=Local(epoch=1))
    before = replace(before, attempts={"0": mine})
    kept = state_of_shard(PLAN, claimed(1), 9.0, before).attempts["0"].local
    assert (kept.epoch, kept.records_read_at) == (1, 9.0)
    assert state_of_shard(PLAN, claimed(1, 2), 9.0, before).attempts["0"].local.epoch == 0


def claimed(*epochs: int) -> ShardRecords:
    return ShardRecords(claims={"0": {e: Claim(holder=f"h{e}", epoch=e) for e in epochs}})


@pytest.mark.parametrize(
    ("records", "generation", "rolls"),
    [
        (ShardRecords(settled=SETTLED, outcomes={"0": DONE}), 0, True),
        (ShardRecords(outcomes={"0": DONE}), 0, False),
        # Settled before the redrive that the roll-up is to hold.
        (ShardRecords(settled=SETTLED, redrives={1: AGAIN}), 1, False),
        (ShardRecords(settled=SETTLED.model_copy(update={"generation": 2})), 1, False),
    ],
)
def test_only_a_settled_partition_is_rolled_up(
    records: ShardRecords, generation: int, rolls: bool
) -> None:
    rollup = rollup_of([PLAN.shard], {PLAN.shard: records}, generation)
    assert (rollup is not None) == rolls


def test_a_roll_up_keeps_settlements_and_jobs() -> None:
    late = Created(job="batches/late", display_name="d", epoch=1)
    records = ShardRecords(settled=SETTLED, outcomes={"0": DONE}, created={"0": late})
    rollup = rollup_of([PLAN.shard], {PLAN.shard: records}, 0)
    assert rollup is not None
    again = records_of(rollup.shards[PLAN.shard])
    assert again.settled == SETTLED
    assert (again.created["0"].job, again.outcomes["0"].state) == ("batches/1", "SUCCEEDED")
