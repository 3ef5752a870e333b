"""Killed or interrupted at any moment, the same command goes on and pays for nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.harness import Done, Held, Project, Remote, held_emulator, invoke, start, texts
from support.waiting import DEADLINE, wait_until

ITEMS = 40
# A few jobs; short waits for a claim whose holder was killed.
SETTINGS = {"batch": {"max_requests": 12}, "service": {"timeout_seconds": 1}}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """Jobs that run until a test has killed something beside them."""
    with held_emulator(tmp_path / "service") as served:
        yield served


@pytest.fixture
def begun(project: Callable[..., Project], held: Held) -> Iterator[Begun]:
    """A run by the real command that is under way."""
    made = project(held.remote.url, **SETTINGS).write(texts(ITEMS))
    begun = Begun(made, held, start("run", made.config))
    try:
        yield begun
    finally:
        if begun.process.poll() is None:
            os.killpg(begun.process.pid, signal.SIGKILL)
            begun.process.communicate()


@dataclass
class Begun:
    project: Project
    held: Held
    process: subprocess.Popen[str]

    @property
    def remote(self) -> Remote:
        return self.held.remote

    def jobs(self) -> int:
        return len(self.remote.jobs())

    def shards(self) -> int:
        """How many the plan has; -1 while there is none."""
        found = list(self.project.run_dir.glob("plans/*/plan.json"))
        return int(json.loads(found[0].read_text())["totals"]["shards"]) if found else -1

    def all_sent(self) -> bool:
        return self.jobs() == self.shards()

    def kill(self) -> None:
        assert self.process.poll() is None, self.process.communicate()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=DEADLINE)

    def go_on(self) -> Done:
        """Run the same command again, and check that all is there and was paid once."""
        self.held.let_go()
        done = invoke("run", self.project.config)
        assert done.code == 0, done.err
        report, results = self.project.results().report, self.project.results()
        assert report["state"] == "settled"
        assert report["rows"] == report["planned"] == ITEMS
        assert sorted(row["key"] for row in results.rows()) == sorted(
            f"corpus/{name}" for name in texts(ITEMS)
        )
        jobs = self.remote.jobs_of(report["run"])
        assert len(jobs) == self.shards() == self.jobs() > 2
        assert len({job["display_name"] for job in jobs}) == len(jobs)
        assert sum(job["billed_rows"] for job in jobs) == ITEMS + len(jobs), "one canary a job"
        assert {row["job"] for row in results.rows()} == {job["name"] for job in jobs}
        return done


def test_killed_right_after_the_first_job_was_created(begun: Begun) -> None:
    wait_until(lambda: begun.jobs() >= 1, "the first job is created", every=0.005)
    begun.kill()
    begun.go_on()


def test_killed_while_all_jobs_are_polled(begun: Begun) -> None:
    wait_until(begun.all_sent, "all jobs are created")
    polls = begun.remote.count("batches.get")
    wait_until(lambda: begun.remote.count("batches.get") > polls + 3, "jobs are polled")
    begun.kill()
    begun.go_on()


def test_killed_when_the_first_part_was_written(begun: Begun) -> None:
    wait_until(begun.all_sent, "all jobs are created")
    # Only one answer can be had, so that the run does not end before it is killed.
    gone = {"on": "files.download", "do": "status", "status": 503}
    begun.remote.faults(*({**gone, "nth": nth} for nth in range(2, 1000)))
    begun.remote.advance(7200)
    wait_until(lambda: begun.project.results().parts, "the first part is written", every=0.005)
    begun.kill()
    begun.go_on()


def test_killed_while_planning(begun: Begun) -> None:
    listing = begun.project.run_dir.glob
    wait_until(lambda: list(listing("plans/*/listing/*")), "it plans", every=0.002)
    begun.kill()
    assert not list(begun.project.run_dir.glob("ledger/commit.*"))
    assert begun.jobs() == 0
    begun.go_on()


def test_killed_twice(begun: Begun) -> None:
    wait_until(lambda: begun.jobs() >= 2, "two jobs are created", every=0.005)
    begun.kill()
    begun.process = start("run", begun.project.config)
    wait_until(begun.all_sent, "all jobs are created")
    begun.kill()
    begun.go_on()


def test_ctrl_c_says_what_goes_on_and_how_to_go_on(begun: Begun) -> None:
    wait_until(begun.all_sent, "all jobs are created")
    begun.process.send_signal(signal.SIGINT)
    _, err = begun.process.communicate(timeout=DEADLINE)
    assert begun.process.returncode == 130, err
    assert "Traceback" not in err
    assert "paid" in err
    assert f"reembed run {begun.project.folder / 'job.yaml'}" in err
    assert invoke("status", begun.project.config).code == 75
    begun.go_on()


def test_a_run_terminated_while_submitting_takes_back_what_was_not_sent(begun: Begun) -> None:
    wait_until(lambda: begun.jobs() >= 1, "the first job is created", every=0.005)
    begun.process.terminate()
    _, err = begun.process.communicate(timeout=DEADLINE)
    assert begun.process.returncode == 130, err
    begun.go_on()


def test_ctrl_c_while_planning_commits_nothing_and_names_the_same_command(
    project: Callable[..., Project], remote: Remote
) -> None:
    job = project(remote.url).write(texts(ITEMS))
    place, before = job.folder / "other place", len(remote.jobs())
    options = ["--run-dir", str(place), "--max-usd", "0.5"]
    process = start("run", job.config, *options, "--", "--direct_num_workers=1")
    wait_until(lambda: list(place.glob("plans/*/listing/*")), "it plans", every=0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not list(place.glob("ledger/commit.*"))
    assert len(remote.jobs()) == before
    # Going on in another folder would pay again.
    assert f"--run-dir '{place}'" in err
    assert "--set budget.max_usd=0.5" in err
    assert "-- --direct_num_workers=1" in err
