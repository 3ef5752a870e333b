"""A commit is made once, is found again, and binds what is frozen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from reembed.config.load import ResolvedConfig
from reembed.core.plans import PlanSummary
from reembed.core.records import RunSettled
from reembed.errors import ConfigError, ReembedError, RunFailedError
from reembed.ledger.commits import (
    check_plan,
    check_resumable,
    commit_plan,
)
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.runs.plan import make_plan
from support.racing import race_threads

Load = Callable[..., ResolvedConfig]
SETTLED = RunSettled(shards=1, rows=10, rejects=0, jobs=1)


@pytest.fixture
def planned(load: Load) -> tuple[ResolvedConfig, PlanSummary, RunDir]:
    loaded = load()
    plan = make_plan(loaded)
    return loaded, plan, open_run_dir(loaded.config.run_dir)


def test_there_is_no_commit_before_the_first(load: Load) -> None:
    assert open_run_dir(load().config.run_dir).newest_commit() is None


def test_a_commit_is_found_with_all_that_a_resume_needs(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir],
) -> None:
    loaded, plan, run_dir = planned
    made = commit_plan(run_dir, loaded.config, plan, "a-key")
    found = run_dir.newest_commit()
    assert found is not None
    assert found.commit == made
    assert not found.settled
    assert (made.number, made.planned, made.items, made.plan) == (1, 10, 10, plan.plan)
    assert len(made.run) == 12
    assert "a-key" not in made.encode().decode()


def test_a_settled_commit_says_so_and_the_next_has_the_next_number(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir],
) -> None:
    loaded, plan, run_dir = planned
    first = commit_plan(run_dir, loaded.config, plan, "")
    for _ in range(2):
        run_dir.record_settled(first.number, 0, SETTLED)
    found = run_dir.newest_commit()
    assert found is not None
    assert found.settled
    second = commit_plan(run_dir, loaded.config, plan, "", after=1)
    assert second.number == 2
    assert second.run != first.run
    found = run_dir.newest_commit()
    assert found is not None
    assert (found.commit.number, found.settled) == (2, False)


def test_of_many_that_planned_at_once_one_commits(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir],
) -> None:
    loaded, plan, run_dir = planned
    storage = run_dir.storage
    runs: list[str] = []
    refusals: list[str] = []

    def commit(number: int) -> None:
        try:
            runs.append(commit_plan(run_dir, loaded.config, plan, "").run)
        except RunFailedError as err:
            refusals.append(str(err))

    race_threads(8, commit)
    # One that planned for longer finds the commit that stands, and does not pay beside it.
    commit(9)
    assert (len(runs), len(refusals)) == (1, 8)
    assert all("run again to join it" in refusal for refusal in refusals)
    assert len(list(storage.list(run_dir.layout.commits()))) == 1


def test_a_frozen_key_binds_and_a_free_one_does_not(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir], load: Load
) -> None:
    loaded, plan, run_dir = planned
    commit = commit_plan(run_dir, loaded.config, plan, "a-key")
    check_resumable(commit, loaded.config, "a-key", key_rotated=False)
    free = load(budget={"max_usd": 3}, batch={"poll_seconds": [1, 2]})
    check_resumable(commit, free.config, "a-key", key_rotated=False)
    frozen = load(model={"dimensions": 256})
    with pytest.raises(ConfigError, match=r"model\.dimensions"):
        check_resumable(commit, frozen.config, "a-key", key_rotated=False)
    with pytest.raises(ReembedError, match="key-rotated"):
        check_resumable(commit, loaded.config, "another", key_rotated=False)
    check_resumable(commit, loaded.config, "another", key_rotated=True)


def test_no_number_is_skipped_by_commits_one_after_the_other(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir],
) -> None:
    loaded, plan, run_dir = planned
    with ThreadPoolExecutor(1) as pool:
        made = [
            pool.submit(commit_plan, run_dir, loaded.config, plan, "", after=number).result()
            for number in range(11)
        ]
    assert [commit.number for commit in made] == list(range(1, 12))
    found = run_dir.newest_commit()
    assert found is not None
    assert found.commit.number == 11


def test_a_file_beside_the_commits_is_none(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir],
) -> None:
    loaded, plan, run_dir = planned
    storage = run_dir.storage
    commit = commit_plan(run_dir, loaded.config, plan, "key")
    for name in ("commit.0001~", "commit.0002.bak", "commit.", "commit.0x02"):
        storage.put(f"{run_dir.path}/ledger/{name}", b"?")
    found = run_dir.newest_commit()
    assert found is not None
    assert found.commit == commit
    storage.put(run_dir.layout.commit(2), commit.encode())
    with pytest.raises(RunFailedError, match="says that it is commit 1"):
        run_dir.newest_commit()


def test_a_plan_that_was_changed_after_its_commit_is_refused(
    planned: tuple[ResolvedConfig, PlanSummary, RunDir],
) -> None:
    loaded, plan, run_dir = planned
    storage = run_dir.storage
    commit = commit_plan(run_dir, loaded.config, plan, "key")
    check_plan(run_dir, commit)
    [partition] = storage.list(run_dir.layout.partitions(plan.plan))
    data = storage.read(partition.uri)
    storage.put(run_dir.layout.partition(plan.plan, 1), data)
    with pytest.raises(RunFailedError, match="are not those that were committed: restore"):
        check_plan(run_dir, commit)
