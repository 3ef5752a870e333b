"""Roll-ups: they say what the records say, at any moment, also while a redrive is written."""

from __future__ import annotations

import pytest

from reembed.core.records import Child, Created, Need, Outcome, Redrive, Settled
from reembed.errors import RunFailedError
from reembed.ledger.ledger import Ledger, read_rolled_up
from reembed.ledger.run_dir import RunDir
from reembed.storage.open import open_storage
from support.counting import CountingStorage

PARTITION = "00000003"
SHARDS = [f"{PARTITION}-{seq:06}" for seq in range(3)]
AGAIN = Redrive(sent=Child(ordinals=((0, 1),), need=Need()), chunks=1)


def settle(ledger: Ledger, shard: str, generation: int = 0) -> None:
    """A shard with a failed job, a retry, and an attempt that was never sent."""
    root = str(generation)
    retry = Child(ordinals=((0, 3),), need=Need())
    children = {f"{root}.0": retry, f"{root}.1": retry}
    for path, state, job, then in (
        (root, "FAILED", f"batches/{shard}-{root}", children),
        (f"{root}.0", "SUCCEEDED", f"batches/{shard}-{root}.0", {}),
        (f"{root}.1", "NOT_SENT", "", {}),
    ):
        if job:
            ledger.created(shard, path, Created(job=job, display_name="d", epoch=1))
        ledger.outcome(shard, path, Outcome(state=state, job=job, children=then))
    rows = 3 + generation
    codes = {"row_error": 5 - rows}
    ledger.settle(
        shard,
        Settled(
            generation=generation, planned=5, rows=rows, rejects=5 - rows, reject_codes=codes,
            jobs=2 * (generation + 1), tokens={"text": 9}, part=ledger.layout.part(1, shard),
        ),
    )  # fmt: skip


def of(run_dir, storage=None) -> Ledger:
    reader = RunDir(storage or open_storage(), run_dir.layout)
    return Ledger(reader, 1, "reader", max_concurrent=4)


def told(records):
    """What readers take from a shard's records."""
    jobs = {path: created.job for path, created in records.created.items()}
    states = {path: outcome.state for path, outcome in records.outcomes.items()}
    open_again = records.settled is None or records.settled.generation < max(
        records.redrives, default=0
    )
    return records.settled, jobs, states, open_again


def test_a_partition_is_rolled_up_once_its_last_shard_is_settled(ledger, run_dir):
    for number, shard in enumerate(SHARDS):
        assert not ledger.roll_up(PARTITION, SHARDS, 0), number
        settle(ledger, shard)
    assert ledger.roll_up(PARTITION, SHARDS, 0)
    assert ledger.roll_up(PARTITION, SHARDS, 0)
    names = [stat.uri for stat in open_storage().list(run_dir.layout.rollups(1))]
    assert names == [run_dir.layout.rollup(1, PARTITION, 0)]


def test_a_roll_up_says_what_the_records_say(ledger, run_dir):
    for shard in SHARDS:
        settle(ledger, shard)
    before = {shard: told(records) for shard, records in of(run_dir).load(SHARDS)}
    assert ledger.roll_up(PARTITION, SHARDS, 0)
    assert {shard: told(records) for shard, records in of(run_dir).load(SHARDS)} == before
    assert before[SHARDS[0]][1] == {
        "0": f"batches/{SHARDS[0]}-0",
        "0.0": f"batches/{SHARDS[0]}-0.0",
    }
    assert before[SHARDS[0]][2] == {"0": "FAILED", "0.0": "SUCCEEDED", "0.1": "NOT_SENT"}


def test_whoever_rolls_up_writes_the_same_bytes(ledger, run_dir):
    for shard in SHARDS:
        settle(ledger, shard)
    name = run_dir.layout.rollup(1, PARTITION, 0)
    seen = set()
    for max_concurrent in (1, 8):
        Ledger(run_dir, 1, f"w{max_concurrent}", max_concurrent).roll_up(PARTITION, SHARDS, 0)
        seen.add(open_storage().read(name))
        open_storage().delete(name)
    # A process that froze says only now what it created: that belongs to no attempt's end.
    ledger.created(SHARDS[0], "0.1", Created(job="batches/late", display_name="d", epoch=1))
    of(run_dir).roll_up(PARTITION, SHARDS[::-1], 0)
    assert seen == {open_storage().read(name)}


def test_of_a_partition_that_is_rolled_up_nothing_else_is_listed_or_read(ledger, run_dir):
    for shard in SHARDS:
        settle(ledger, shard)
    ledger.roll_up(PARTITION, SHARDS, 0)
    storage = CountingStorage(open_storage())
    assert len(dict(of(run_dir, storage).load(SHARDS))) == 3
    assert dict(storage.counts) == {"list": 1, "read": 1}


def test_a_partition_without_a_shard_of_the_plan_is_not_rolled_up(ledger):
    for shard in SHARDS[:2]:
        settle(ledger, shard)
    assert not ledger.roll_up(PARTITION, SHARDS, 0)
    assert ledger.roll_up(PARTITION, SHARDS[:2], 0)


def test_a_redrive_makes_the_roll_up_stale_and_a_new_one_follows(ledger, run_dir):
    for shard in SHARDS:
        settle(ledger, shard)
    ledger.roll_up(PARTITION, SHARDS, 0)
    ledger.reopen(PARTITION, 1)
    assert {s: told(r) for s, r in of(run_dir).load(SHARDS)}[SHARDS[1]][3] is False
    ledger.redrive(SHARDS[1], 1, AGAIN)
    assert {s: told(r)[3] for s, r in of(run_dir).load(SHARDS)}[SHARDS[1]] is True
    assert not ledger.roll_up(PARTITION, SHARDS, 1)
    settle(ledger, SHARDS[1], 1)
    before = {shard: told(records) for shard, records in of(run_dir).load(SHARDS)}
    assert ledger.roll_up(PARTITION, SHARDS, 1)
    assert {shard: told(records) for shard, records in of(run_dir).load(SHARDS)} == before
    assert [before[shard][0].generation for shard in SHARDS] == [0, 1, 0]
    assert read_rolled_up(run_dir, 1).holds(PARTITION)


def test_a_partition_opened_beyond_the_runs_generation_is_left_alone(ledger, run_dir):
    """The redrive was cut off, or is still writing its shards: nobody can tell."""
    for shard in SHARDS:
        settle(ledger, shard)
    ledger.reopen(PARTITION, 1)
    assert not ledger.roll_up(PARTITION, SHARDS, 0)
    assert not read_rolled_up(run_dir, 1).holds(PARTITION)
    assert len(dict(of(run_dir).load(SHARDS))) == 3


# On a disk alone: which calls are made does not depend on the storage.
@pytest.mark.parametrize("run_dir", ["disk"], indirect=True)
@pytest.mark.parametrize("calls", range(12))
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("standing", [False, True], ids=["new", "rolled up before"])
def test_a_redrive_at_any_moment_of_a_roll_up_never_hides_an_open_shard(
    ledger, run_dir, calls, steps, standing
):
    """The redrive does its first `steps` steps before the call of that number."""
    for shard in SHARDS:
        settle(ledger, shard)
    if standing:
        ledger.roll_up(PARTITION, SHARDS, 0)
    todo = [
        lambda: ledger.reopen(PARTITION, 1),
        lambda: ledger.redrive(SHARDS[1], 1, AGAIN),
        lambda: ledger.redrive(SHARDS[2], 1, AGAIN),
    ]
    count = 0

    def before(call: str, uri: str) -> None:
        nonlocal count
        if count == calls:
            for step in todo[:steps]:
                step()
        count += 1

    writer = Ledger(
        RunDir(CountingStorage(open_storage(), before=before), run_dir.layout),
        1,
        "w",
        max_concurrent=1,
    )
    writer.roll_up(PARTITION, SHARDS, 0)
    done = todo if count <= calls else todo[steps:]
    for step in done:
        step()
    opened = {shard for shard, records in of(run_dir).load(SHARDS) if told(records)[3]}
    assert opened == set(SHARDS[1:])
    for shard in SHARDS[1:]:
        settle(ledger, shard, 1)
    assert of(run_dir).roll_up(PARTITION, SHARDS, 1)
    rolled = {shard: told(records)[0].generation for shard, records in of(run_dir).load(SHARDS)}
    assert [rolled[shard] for shard in SHARDS] == [0, 1, 1]


def test_all_that_is_due_is_rolled_up_and_nothing_else(ledger, run_dir):
    partitions = {f"{number:08}": [f"{number:08}-000000"] for number in range(5)}
    for shards in list(partitions.values())[:3]:
        settle(ledger, shards[0])
    ledger.roll_up("00000000", partitions["00000000"], 0)
    of(run_dir).roll_up_all(partitions, 0)
    standing = read_rolled_up(run_dir, 1)
    assert [partition for partition in partitions if standing.holds(partition)] == list(partitions)[
        :3
    ]


def test_an_open_partition_is_read_by_several_threads(ledger, run_dir):
    for shard in SHARDS:
        settle(ledger, shard)
    storage = CountingStorage(open_storage(), gather=2)
    found = dict(of(run_dir, storage).load(SHARDS))
    assert len(found) == 3
    # The roll-ups, the partition; a settlement, three outcomes and two jobs of each shard.
    assert dict(storage.counts) == {"list": 2, "read": 18}
    assert 2 <= storage.max_concurrent <= 4


def test_a_roll_up_that_cannot_be_read_stops_the_run_and_says_which(ledger, run_dir):
    open_storage().create(run_dir.layout.rollup(1, PARTITION, 0), b"{}")
    with pytest.raises(RunFailedError, match=r"00000003\.g0: not a Rollup record"):
        dict(of(run_dir).load(SHARDS))


def test_strange_files_among_the_roll_ups_are_passed_over(run_dir):
    for name in (".DS_Store", "00000003.g0.open.tmp", "3.g0", "00000003.g-1"):
        open_storage().create(run_dir.layout.rollups(1) + name, b"?")
    standing = read_rolled_up(run_dir, 1)
    assert not standing.holds(PARTITION)
    assert standing.generation(PARTITION) == 0
