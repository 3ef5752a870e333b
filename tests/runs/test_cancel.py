"""Stopping a run: a record first, then its own jobs, and no job of anybody else."""

from __future__ import annotations

from typing import cast

import pytest

from reembed.core.records import Commit
from reembed.errors import RefusedError, RemoteNotFoundError, UsageError
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.providers.base import BatchService, Job, JobState
from reembed.runs.cancel import Cancelled, cancel_jobs, open_commit, write_stop
from support.memory import MemoryStorage
from support.runs import Made


@pytest.fixture
def made() -> Made:
    """A partition of four shards, three of them begun."""
    made = Made(MemoryStorage(), Layout("/memory/run"), 1, 4)
    made.plan()
    made.begin(made.shards(0)[:3])
    return made


class Service:
    """Says of each job what it is told to, and notes what it was asked to cancel."""

    def __init__(self, run: str, **jobs: str) -> None:
        self.run, self.jobs, self.cancelled = run, jobs, list[str]()

    def get(self, name: str) -> Job:
        what = self.jobs[name.removeprefix("batches/").replace("-", "_")]
        if what == "gone":
            raise RemoteNotFoundError("not there", 404)
        run = "another" if what == "foreign" else self.run
        state: JobState = "SUCCEEDED" if what == "done" else "RUNNING"
        return Job(name, f"{run}/s/0/f", state, "")

    def cancel(self, name: str) -> None:
        if self.jobs[name.removeprefix("batches/").replace("-", "_")] == "ended meanwhile":
            raise RefusedError("it has ended", 400)
        self.cancelled.append(name)


def cancel(made: Made, **jobs: str) -> tuple[Cancelled, list[str]]:
    commit = open_commit(made.run_dir)
    service = Service(commit.run, **jobs)
    return cancel_jobs(made.run_dir, commit, cast(BatchService, service)), service.cancelled


def test_every_job_that_runs_is_asked_to_end(made: Made) -> None:
    done, asked = cancel(made, open_0="runs", open_1="runs", open_2="done")
    assert done == Cancelled(asked=2, ended=1)
    assert asked == ["batches/open-0", "batches/open-1"]


def test_a_job_of_another_run_is_left_alone(made: Made) -> None:
    done, asked = cancel(made, open_0="foreign", open_1="gone", open_2="ended meanwhile")
    assert (done, asked) == (Cancelled(asked=0, ended=2), [])


def test_a_stop_stands_until_it_is_lifted(made: Made) -> None:
    ledger = made.ledger()
    for lift, stopped in ((False, True), (False, True), (True, False), (True, False)):
        assert isinstance(write_stop(made.run_dir, lift), Commit)
        assert ledger.stopped() is stopped


def test_there_must_be_something_to_stop(made: Made) -> None:
    empty: RunDir = open_run_dir("/memory/none", MemoryStorage())
    with pytest.raises(UsageError, match="nothing was committed in /memory/none"):
        open_commit(empty)
    made.finish()
    with pytest.raises(UsageError, match="is settled; there is nothing to stop"):
        open_commit(made.run_dir)
