"""The same job on every engine that can be had here: the same output, also when workers die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import (
    Project,
    Remote,
    Results,
    emulator,
    environment,
    held_emulator,
    invoke,
    reembed,
    start,
    texts,
)
from e2e.spread import OF_THE_RUN, spread
from support.engines import PROCESSES, engine, flink_job_server, workers_below
from support.waiting import DEADLINE, wait_until

TWO_PROCESSES = (
    "--runner=DirectRunner",
    "--direct_num_workers=2",
    "--direct_running_mode=multi_processing",
)
# The emulator refuses any other, so workers must have it, and have it from their environment.
KEY: dict[str, Any] = {"GEMINI_API_KEY": "of-the-engines"}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Site:
    """A project with all kinds of files, jobs that take seconds, and what Beam's engine made."""

    project: Project
    remote: Remote
    alone: Results

    def check(self, run_dir: Path) -> None:
        """See that a run gave what Beam's own engine gives, each shard bought once."""
        one, other = self.alone, self.project.results(run_dir)
        report = other.report
        for name in ("plan", "planned", "rows", "rejects", "tokens", "shards", "jobs"):
            assert report[name] == one.report[name], name
        assert other.table().drop_columns(OF_THE_RUN).equals(one.table().drop_columns(OF_THE_RUN))
        assert other.reasons() == one.reasons()
        jobs = self.remote.jobs_of(report["run"])
        assert len(jobs) == len({job["display_name"] for job in jobs}) == report["shards"]
        assert self.remote.billed(report["run"]) == self.remote.billed(one.report["run"])

    def kill_when_all_jobs_run(
        self,
        process: subprocess.Popen[str],
        run_dir: Path,
        workers: Callable[[], list[int]],
        patience: float = 90,
    ) -> str:
        """Kill the workers of a run once its jobs are created; what the command said at its end.

        Where it has not ended after `patience` seconds, it gets a Ctrl-C, as the guide says.
        """
        shards = self.alone.report["shards"]
        try:
            wait_until(
                lambda: len(list(run_dir.glob("ledger/**/*.created"))) == shards,
                f"{shards} jobs are on record",
            )
            killed = workers()
            assert killed
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=patience)[1]
            os.killpg(process.pid, signal.SIGINT)
            return process.communicate(timeout=DEADLINE)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("engines")
    spread(corpus, folder / "corpus")
    settings = {"batch": {"max_requests": 8}, "service": {"timeout_seconds": 1}}
    slow = {"running_seconds": 3, "expected_key": KEY["GEMINI_API_KEY"]}
    with emulator(**slow) as served:
        project = Project(folder, served.url, settings)
        alone = reembed("run", project.config, **KEY)
        assert alone.code == 0, alone.err
        yield Site(project, served, project.results())


def lanes_of(run_dir: Path) -> list[str]:
    return sorted(path.name for path in run_dir.glob("ledger/runs/0001/progress/*"))


def test_two_worker_processes_give_what_one_gives(site: Site, tmp_path: Path) -> None:
    done = reembed("run", site.project.config, "--run-dir", tmp_path, "--", *TWO_PROCESSES, **KEY)
    assert done.code == 0, done.err
    assert "Warning" not in done.err
    site.check(tmp_path)
    assert lanes_of(tmp_path) == ["00000", "00001"], "one lane a worker"


@pytest.mark.timeout(900)  # it may wait for an installation that is under way
def test_prism_ends_when_its_worker_is_killed_and_the_next_call_goes_on(
    site: Site, tmp_path: Path
) -> None:
    prism = ("--runner=PrismRunner", f"--prism_location={engine('prism')['PRISM']}")
    command = ("run", site.project.config, "--run-dir", tmp_path)
    process = start(*command, "--", *prism, *PROCESSES, **KEY)
    err = site.kill_when_all_jobs_run(process, tmp_path, lambda: workers_below(process.pid), 20)
    # Now and then it waits for a worker that is no more.
    assert (process.returncode, "PrismRunner failed" in err) in {(1, True), (130, False)}, err
    assert not workers_below(1), "workers end with their engine"
    again = reembed(*command, "--set", "batch.lanes=3", "--", *prism, **KEY)
    assert again.code == 0, again.err
    site.check(tmp_path)
    assert len(lanes_of(tmp_path)) == 3


@pytest.mark.timeout(900)
def test_flink_begins_anew_when_a_worker_is_killed(site: Site, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with flink_job_server(tmp_path, environment(**KEY)) as (address, server):
        flink = ("--runner=PortableRunner", f"--job_endpoint={address}", "--parallelism=2")
        process = start(
            "run", site.project.config, "--run-dir", run_dir, "--", *flink, *PROCESSES, **KEY
        )
        err = site.kill_when_all_jobs_run(process, run_dir, lambda: workers_below(server))
    assert process.returncode == 0, err
    assert "Traceback" not in err
    site.check(run_dir)
    assert lanes_of(run_dir) == ["00000", "00001"]


def test_ctrl_c_ends_worker_processes_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A terminal sends it to the whole group: the engine would wait for its workers for ever."""
    folder = tmp_path_factory.mktemp("interrupted")
    with held_emulator(folder / "service") as held:
        settings = {"batch": {"max_requests": 12}, "service": {"timeout_seconds": 1}}
        project = Project(folder, held.remote.url, settings).write(texts(40))
        process = start("run", project.config, "--", *TWO_PROCESSES)
        try:
            wait_until(lambda: len(held.remote.jobs()) > 2, "three jobs are created")
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=DEADLINE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        assert process.returncode == 130, err
        assert "reembed run" in err
        held.let_go()
        done = invoke("run", project.config)
        assert done.code == 0, done.err
        report = project.results().report
        assert report["rows"] == 40
        remote = held.remote
        assert len(remote.jobs_of(report["run"])) == len(remote.jobs()) == report["shards"]
