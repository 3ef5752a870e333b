"""What `status` asks of the storage, and what it says: the same with roll-ups and without."""

from __future__ import annotations

import pytest

from reembed.core.records import Commit
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir
from reembed.runs.report import count_run
from reembed.runs.status import RunStatus, read_status
from support.counting import CountingStorage
from support.memory import MemoryStorage
from support.runs import ROWS, Made


@pytest.fixture
def made() -> Made:
    """Twenty partitions of three shards: a plan and its commit."""
    made = Made(MemoryStorage(), Layout("/memory/run"), 20, 3)
    made.plan()
    return made


def ask(made: Made, gather: int = 0) -> tuple[RunStatus, CountingStorage]:
    storage = CountingStorage(made.storage, gather=gather)
    status = read_status(RunDir(storage, made.layout))
    assert status is not None
    return status, storage


def test_a_settled_run_is_read_by_a_dozen_calls_whatever_its_size(made: Made) -> None:
    made.settle(list(made.all_shards()))
    made.roll_up()
    made.finish()
    status, storage = ask(made)
    assert status.state == "settled"
    assert (status.shards, status.rows, status.jobs) == ({"settled": 60}, 60 * ROWS, 60)
    # Commits, redrive, settled, folds; commit, plan, settled, and one look ahead of the spend log
    # that finds its 120 lines in three steps of 64.
    assert storage.counts["list"] == 4
    assert storage.counts["read"] <= 3 + 3 * 64


def test_settled_partitions_are_read_by_their_roll_ups_alone(made: Made) -> None:
    for partition in range(10):
        made.settle(made.shards(partition))
    made.roll_up()
    status, storage = ask(made, gather=9)
    assert (status.shards, status.rows) == ({"planned": 30, "settled": 30}, 30 * ROWS)
    # Commits, redrive, settled, roll-ups, ten partitions at once, notes, folds.
    assert storage.counts["list"] == 7
    assert storage.max_concurrent > 8


def test_a_run_without_roll_ups_says_the_same_and_reads_one_record_of_a_settled_shard(
    made: Made,
) -> None:
    for partition in range(20):
        made.settle(made.shards(partition)[:2])
        made.begin(made.shards(partition)[2:])
    status, storage = ask(made)
    assert (status.shards, status.rows, status.jobs) == (
        {"queued": 20, "settled": 40},
        40 * ROWS,
        60,
    )
    # Nothing of the open shards but their plans: twenty partitions.
    assert storage.counts["list"] == 8
    assert storage.counts["read"] <= 2 + 40 + 20 + 3 * 64


def test_counts_are_the_same_before_and_after_the_roll_up(made: Made) -> None:
    made.settle(list(made.all_shards())[:-1])
    name = made.layout.commit(1)
    commit = Commit.decode(made.storage.read(name), name)
    before = ask(made)[0], count_run(made.run_dir, commit)
    made.roll_up()
    assert (ask(made)[0], count_run(made.run_dir, commit)) == before
    assert before[0].shards == {"planned": 1, "settled": 59}
    assert before[1].settled == 59


def test_partitions_beside_rolled_up_ones_are_listed_by_themselves(made: Made) -> None:
    for partition in (0, 1, 2):
        made.settle(made.shards(partition))
    made.roll_up()
    made.begin(made.shards(3))
    status, storage = ask(made)
    assert status.shards == {"planned": 48, "queued": 3, "settled": 9}
    # Seven of the first ten partitions, the other ten together, and six other listings.
    assert storage.counts["list"] == 7 + 1 + 6


def test_an_open_run_is_counted_without_its_files_and_a_settled_one_by_them(made: Made) -> None:
    made.settle(list(made.all_shards())[:-1])
    name = made.layout.commit(1)
    commit = Commit.decode(made.storage.read(name), name)
    storage = CountingStorage(made.storage)
    assert count_run(RunDir(storage, made.layout), commit).rows == 59 * ROWS
    assert storage.counts["open"] == 0
    made.settle(list(made.all_shards())[-1:])
    # The records say that all is there; no file is.
    assert count_run(RunDir(storage, made.layout), commit).rows == 0
