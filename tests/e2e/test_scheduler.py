"""submit, advance and cancel, as a scheduler and its user call them: a round at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import Project, Remote, Results, emulator, invoke, start, texts
from support.waiting import DEADLINE, wait_until

ITEMS = 40  # 4 shards of at most 11 requests and a canary
HOUR = 3600.0


def shards(count: int, **batch: Any) -> dict[str, Any]:
    """Settings under which `ITEMS` texts become 4 shards, and `count` jobs may run at once."""
    return {"batch": {"max_requests": 12, "concurrent_jobs": count, **batch}}


@pytest.fixture
def hours() -> Iterator[Remote]:
    """Jobs that take an hour, by a clock that the test moves."""
    with emulator(pending_seconds=0, running_seconds=HOUR) as served:
        yield served


def end_jobs(remote: Remote) -> None:
    """Let every job that runs come to its end."""
    remote.advance(HOUR + 60)
    wait_until(lambda: not [j for j in remote.jobs() if runs(j)], "every job ends")


def runs(job: dict[str, Any]) -> bool:
    stuck = any(fault["do"] == "stuck" for fault in job.get("faults", ()))
    return not stuck and job["state"].removeprefix("BATCH_STATE_") in ("PENDING", "RUNNING")


def settled(results: Results) -> dict[str, Any]:
    report = results.report
    assert report["state"] == "settled"
    assert report["planned"] == report["rows"] + report["rejects"] == ITEMS
    assert report["rows"] == len(results.rows())
    assert report["rejects"] == len(results.rejects())
    return report


def paid_once(remote: Remote, report: dict[str, Any]) -> None:
    jobs = remote.jobs_of(report["run"])
    assert len({job["display_name"] for job in jobs}) == len(jobs)
    sound = [job for job in jobs if job["billed_rows"]]
    assert sum(job["billed_rows"] for job in sound) == report["rows"] + len(sound), (
        "one canary each"
    )
    assert report["duplicate_jobs"] == []


def test_a_scheduler_takes_a_run_through_a_small_quota(
    project: Callable[..., Project], hours: Remote
) -> None:
    job = project(hours.url, **shards(2)).write(texts(ITEMS))
    early = invoke("advance", job.config)
    assert early.code == 2
    assert "`reembed submit` begins" in early.err
    first = invoke("submit", job.config, "--json")
    assert first.code == 75
    assert "4 of 4 shards are not settled" in first.json()["error"]
    assert len(hours.jobs()) == 2, "the quota allows two"
    for command in ("advance", "submit"):
        assert invoke(command, job.config).code == 75
        assert len(hours.jobs()) == 2, "nothing has ended, so nothing more is sent"
    end_jobs(hours)
    assert invoke("advance", job.config).code == 75
    assert len(hours.jobs()) == 4
    assert invoke("status", job.config, "--json").json()["shards"]["settled"] == 2
    end_jobs(hours)
    done = invoke("advance", job.config, "--json")
    assert done.code == 0, done.err
    report = settled(job.results())
    assert done.json()["rows"] == report["rows"] == ITEMS
    paid_once(hours, report)
    again = invoke("advance", job.config)
    assert again.code == 0
    assert "settled already; nothing was sent" in again.out
    assert len(hours.jobs()) == 4


def test_rounds_beside_a_run_pay_nothing_twice(project: Callable[..., Project]) -> None:
    with emulator(pending_seconds=0.2, running_seconds=1.5) as slow:
        job = project(slow.url, **shards(3)).write(texts(ITEMS))
        process = start("run", job.config)
        try:
            wait_until(lambda: len(slow.jobs()) >= 1, "the first job is created", every=0.01)
            codes = [invoke("advance", job.config).code for _ in range(3)]
            _, err = process.communicate(timeout=DEADLINE)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        assert process.returncode == 0, err
        assert set(codes) <= {0, 75}
        report = settled(job.results())
        assert report["rows"] == ITEMS
        assert len(slow.jobs()) == 4
        paid_once(slow, report)
    assert invoke("advance", job.config).code == 0


@pytest.fixture(scope="module")
def cancelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cancelled]:
    """A run of 5 shards, stopped when 2 were settled, 1 had ended, 1 ran, and 1 was not sent."""
    folder = tmp_path_factory.mktemp("cancelled")
    with emulator(pending_seconds=0, running_seconds=HOUR) as remote:
        job = Project(folder, remote.url, shards(2, max_requests=9)).write(texts(ITEMS))
        remote.faults({"job": 4, "do": "stuck"})
        codes = [invoke("submit", job.config).code]
        end_jobs(remote)
        codes.append(invoke("advance", job.config).code)
        remote.advance(HOUR + 60)
        wait_until(lambda: remote.jobs()[2]["state"].endswith("SUCCEEDED"), "the third job ends")
        before = remote.jobs()
        done = invoke("cancel", job.config)
        assert codes == [75, 75]
        remote.faults()
        yield Cancelled(job, remote, before, done.code, done.out + done.err)


class Cancelled:
    def __init__(
        self, project: Project, remote: Remote, before: list[dict[str, Any]], code: int, said: str
    ) -> None:
        self.project, self.remote, self.before = project, remote, before
        self.code, self.said = code, said


def test_cancel_keeps_what_had_finished_and_buys_no_more(cancelled: Cancelled) -> None:
    job, remote = cancelled.project, cancelled.remote
    assert len(cancelled.before) == 4
    assert cancelled.code == 0, cancelled.said
    assert "1 jobs are asked to end, 1 had ended" in cancelled.said
    states = [found["state"].removeprefix("BATCH_STATE_") for found in remote.jobs()[:4]]
    assert states == ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "CANCELLED"]
    report = settled(job.results())
    by_shard = Counter(row["shard"] for row in job.results().rows())
    assert len(by_shard) == 3
    reasons = Counter(row["reason"] for row in job.results().rejects())
    assert set(reasons) == {"cancelled", "stopped"}
    assert report["reject_reasons"] == dict(reasons)
    for _ in range(2):
        assert invoke("advance", job.config).code == 0
    assert len([j for j in remote.jobs_of(report["run"]) if "/0/" in j["display_name"]]) == 4
    late = invoke("cancel", job.config)
    assert late.code == 2
    assert "is settled; there is nothing to stop" in late.err


def keys(results: Results) -> list[str]:
    return [row["key"] for row in results.rows()]


def test_a_redrive_sends_what_was_stopped_and_only_that(cancelled: Cancelled) -> None:
    job, remote = cancelled.project, cancelled.remote
    results = job.results()
    before = {path.name: path.read_bytes() for path in results.parts}
    stopped = [row["key"] for row in results.rejects() if row["reason"] == "stopped"]
    none = invoke("redrive", job.config, "--reason", "no_such_reason")
    assert none.code == 2
    assert "no reject with no_such_reason had a request" in none.err
    sent = redriven(job, remote, "--reason", "stopped")
    assert f"{len(stopped)} rejects in 1 shards are sent again, for up to $" in sent
    assert remote.jobs()[-1]["total"] == len(stopped), "no canaries, and no other request"
    report = settled(results)
    assert report["reject_reasons"] == {"cancelled": ITEMS - len(keys(results))}
    assert set(stopped) < set(keys(results))
    redriven(job, remote)
    report = settled(results)
    assert report["rejects"] == 0
    assert keys(results) == [f"corpus/{name}" for name in sorted(texts(ITEMS))]
    after = {path.name: path.read_bytes() for path in results.parts}
    assert all(after[name] == data for name, data in before.items()), "parts that had all are kept"
    assert len(after) == len(before) + 2
    paid_rows = sum(found["billed_rows"] for found in remote.jobs_of(report["run"]))
    assert paid_rows == ITEMS + 3, "three canaries, with the three first jobs that came through"
    nothing = invoke("redrive", job.config)
    assert nothing.code == 2
    assert "no reject had a request that could be sent again" in nothing.err


def redriven(job: Project, remote: Remote, *options: str) -> str:
    """Redrive over the one hour that its jobs take; returns what it said."""
    jobs = len(remote.jobs())
    process = start("redrive", job.config, *options)
    try:
        wait_until(lambda: len(remote.jobs()) > jobs, "a job is created")
        end_jobs(remote)
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, err
    return out


def test_a_stop_can_be_lifted_until_it_has_worked(
    project: Callable[..., Project], hours: Remote
) -> None:
    job = project(hours.url, **shards(2)).write(texts(ITEMS))
    assert invoke("submit", job.config).code == 75
    unsettled = invoke("redrive", job.config)
    assert unsettled.code == 2
    assert "is not settled; `reembed run` goes on with it" in unsettled.err
    hours.faults({"on": "batches.get", "do": "status", "status": 403, "times": 1})
    failed = invoke("cancel", job.config)
    assert failed.code == 1
    assert "the stop is on record" in failed.err
    assert "call cancel again" in failed.err
    assert list((job.run_dir / "ledger" / "runs" / "0001" / "stop").iterdir())
    for _ in range(2):
        lifted = invoke("cancel", job.config, "--lift")
        assert lifted.code == 0
        assert "goes on" in lifted.out
    end_jobs(hours)
    assert invoke("advance", job.config).code == 75
    assert len(hours.jobs()) == 4, "after the lift the rest is bought"
    stopped = invoke("cancel", job.config, "--json")
    assert stopped.code == 0, stopped.err
    assert stopped.json()["reject_reasons"] == settled(job.results())["reject_reasons"]
    assert set(job.results().reasons().values()) == {"cancelled"}


def test_cancel_ends_a_run_that_waits_elsewhere(
    project: Callable[..., Project], hours: Remote
) -> None:
    job = project(hours.url, **shards(2)).write(texts(ITEMS))
    process = start("run", job.config)
    try:
        wait_until(lambda: len(hours.jobs()) == 2, "two jobs are created")
        wait_until(
            lambda: len(list(job.run_dir.glob("ledger/runs/*/partitions/*/*/*.created"))) == 2,
            "two jobs are on record",
        )
        done = invoke("cancel", job.config)
        _, err = process.communicate(timeout=DEADLINE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, err
    assert done.code in (0, 75), done.err
    report = settled(job.results())
    assert report["reject_reasons"].keys() == {"cancelled", "stopped"}
    assert len(hours.jobs()) == 2


def test_a_run_directory_can_be_moved_between_rounds(
    project: Callable[..., Project], hours: Remote, tmp_path: Path
) -> None:
    job = project(hours.url, **shards(4)).write(texts(ITEMS))
    hours.faults({"job": 1, "do": "fail_rows", "rows": [0, 2], "code": 3})
    assert invoke("submit", job.config).code == 75
    end_jobs(hours)
    assert invoke("advance", job.config).code == 0
    moved = tmp_path / "elsewhere"
    job.run_dir.rename(moved)
    process = start("redrive", job.config, "--run-dir", moved)
    try:
        wait_until(lambda: len(hours.jobs()) == 5, "a fifth job is created")
        end_jobs(hours)
        _, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert settled(job.results(moved))["rejects"] == 0
    assert not job.run_dir.exists()
