"""A run directory: its plans, commits, notes and report, read and written in one place."""

from __future__ import annotations

import pickle

import pytest

from reembed.core.records import RunSettled
from reembed.errors import ObjectNotFoundError, RunFailedError
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir, open_run_dir
from support.memory import MemoryStorage
from support.runs import PLAN, ROWS, Made

SETTLED = RunSettled(shards=6, rows=6 * ROWS, rejects=0, jobs=6)


@pytest.fixture
def made() -> RunDir:
    """Two partitions of three shards, planned and committed."""
    made = Made(MemoryStorage(), Layout("/memory/run"), 2, 3)
    made.plan()
    return made.run_dir


def test_a_plan_is_read_in_input_order_whole_or_in_parts(made: RunDir) -> None:
    names = [plan.shard for plan in made.shards(PLAN)]
    assert names == sorted(names)
    assert len(names) == 6
    assert [plan.shard for plan in made.shards(PLAN, ["00000001"])] == names[3:]
    with pytest.raises(ObjectNotFoundError):
        made.read_plan("another")


def test_a_run_is_open_until_its_counts_are_on_record(made: RunDir) -> None:
    newest = made.newest_commit()
    assert newest is not None
    assert (newest.commit.number, newest.settled, newest.generation) == (1, False, 0)
    for _ in range(2):
        made.record_settled(1, 0, SETTLED)
    newest = made.newest_commit()
    assert newest is not None
    assert newest.settled
    assert made.run_settled(1, 0) == SETTLED
    assert not made.is_published(newest)
    made.record_published(1, 0)
    assert made.is_published(newest)


def test_a_redrive_opens_a_settled_run_again(made: RunDir) -> None:
    made.record_settled(1, 0, SETTLED)
    made.record_redrive(1, 1)
    newest = made.newest_commit()
    assert newest is not None
    assert (newest.settled, newest.generation) == (False, 1)


def test_copies_beside_the_commits_are_none(made: RunDir) -> None:
    made.storage.put(made.layout.commits() + "0002~", b"an editor's copy")
    assert [commit.number for commit in made.commits()] == [1]
    made.storage.put(made.layout.commit(2), made.storage.read(made.layout.commit(1)))
    with pytest.raises(RunFailedError, match="says that it is commit 1; restore it"):
        list(made.commits())


def test_a_report_that_is_damaged_is_named_where_it_is_needed(made: RunDir) -> None:
    assert made.last_report() == {}
    with pytest.raises(RunFailedError, match=r"report\.json is missing or damaged"):
        made.read_report()
    made.write_report({"rows": 5})
    assert made.read_report() == made.last_report() == {"rows": 5}


def test_notes_that_cannot_be_read_decide_nothing(made: RunDir) -> None:
    made.storage.put(made.layout.progress(1, 0), b'{"rows": 5}')
    made.storage.put(made.layout.progress(1, 1), b"half a no")
    made.storage.put(made.layout.progress(1, 2), b"[]")
    assert made.lane_notes(1) == [{"rows": 5}]
    made.delete_lane_notes(1)
    assert made.lane_notes(1) == []


def test_findings_of_a_live_check_are_kept(made: RunDir) -> None:
    assert made.live_findings() == {}
    made.write_live_findings({"inline_keys": True})
    assert made.live_findings() == {"inline_keys": True}


def test_a_run_directory_travels_as_its_path() -> None:
    run_dir = open_run_dir("/data/run")
    assert run_dir.path == "/data/run"
    assert pickle.loads(pickle.dumps(run_dir)).path == run_dir.path
    assert b"MemoryStorage" not in pickle.dumps(RunDir(MemoryStorage(), Layout("/memory/run")))
