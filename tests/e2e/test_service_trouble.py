"""Jobs that hang or are cancelled by others, a service that goes away, and storms of 429."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from e2e.harness import Project, emulator, invoke, start, texts
from support.waiting import DEADLINE, wait_until

ITEMS = 24
# Two jobs; one that hangs for a moment is stuck.
MOMENT = 1e-6
SETTINGS: dict[str, Any] = {"batch": {"max_requests": 14}}


def test_a_job_that_hangs_is_reported_and_on_request_sent_again(
    project: Callable[..., Project],
) -> None:
    with emulator() as remote:
        remote.faults({"job": 1, "do": "stuck"})
        job = project(remote.url, **SETTINGS).write(texts(ITEMS))
        assert invoke("submit", job.config).code == 75
        wait_until(lambda: remote.jobs()[1]["state"].endswith("SUCCEEDED"), "the other job ends")
        told = invoke("advance", job.config, "--set", f"batch.stuck_hours={MOMENT}")
        assert told.code == 75
        hanging = remote.jobs()[0]["name"]
        assert f"1 jobs hang, for instance {hanging}" in told.err
        assert "on_stuck: resubmit" in told.err
        assert len(remote.jobs()) == 2, "reported, not sent again"
        # What is created from now on seems an hour younger, and never hangs.
        remote.advance(3600)
        resubmit = ["--set", "batch.on_stuck=resubmit", "--set", f"batch.stuck_hours={MOMENT}"]
        done = invoke("run", job.config, *resubmit)
        assert done.code == 0, done.err
        jobs = remote.jobs()
    report = job.results().report
    assert (report["rows"], report["jobs"]) == (ITEMS, 3)
    assert jobs[0]["state"].endswith("CANCELLED")
    assert jobs[0]["billed_rows"] == 0
    assert jobs[2]["display_name"].split("/")[2] == "0.0"


def test_a_job_that_somebody_else_cancelled_is_not_bought_again(
    project: Callable[..., Project],
) -> None:
    with emulator(pending_seconds=0.2, running_seconds=600) as remote:
        job = project(remote.url, **SETTINGS).write(texts(ITEMS))
        assert invoke("submit", job.config).code == 75
        first = remote.jobs()[0]["name"]
        key = {"x-goog-api-key": "somebody-else"}
        httpx.post(f"{remote.url}/v1beta/{first}:cancel", headers=key).raise_for_status()
        remote.advance(700)
        wait_until(lambda: remote.jobs()[1]["state"].endswith("SUCCEEDED"), "the other job ends")
        assert invoke("advance", job.config).code == 0
        assert len(remote.jobs()) == 2
    report = job.results().report
    assert report["rows"] + report["rejects"] == ITEMS
    assert report["reject_reasons"].keys() == {"cancelled"}
    assert {row["job"] for row in job.results().rejects()} == {first}
    assert all(first in row["message"] for row in job.results().rejects())


def test_a_service_that_comes_back_finds_the_run_waiting(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place: dict[str, Any] = {"port": port, "state_dir": tmp_path / "service"}
    with emulator(**place, running_seconds=3600) as remote:
        job = project(remote.url, batch={"max_requests": 14}).write(texts(ITEMS))
        process = start("run", job.config)
        wait_until(lambda: len(remote.jobs()) == 2, "both jobs are created")
    try:
        with socket.create_server(("127.0.0.1", port)) as away:
            away.settimeout(DEADLINE)
            for _ in range(3):
                away.accept()[0].close()
        assert process.poll() is None, "it waits"
        with emulator(**place) as back:
            _, err = process.communicate(timeout=DEADLINE)
            assert process.returncode == 0, err
            jobs = back.jobs()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert len(jobs) == 2
    assert sum(found["billed_rows"] for found in jobs) == ITEMS + 2
    assert job.results().report["rows"] == ITEMS


def test_a_storm_of_429_costs_time_and_nothing_else(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    storm: dict[str, Any] = {"on": "batches.create", "do": "status", "status": 429}
    with emulator() as remote:
        remote.faults({**storm, "retry_after": 3600})
        job = project(remote.url, batch={"max_requests": 14}).write(texts(ITEMS))
        apart = ("--run-dir", tmp_path / "a run that nobody goes on with")
        assert invoke("submit", job.config, *apart).code == 75, "a round waits for no quota"
        assert remote.jobs() == []
        remote.faults({**storm, "retry_after": 1, "times": 3})
        done = invoke("run", job.config)
        assert done.code == 0, done.err
        jobs = remote.jobs()
    assert job.results().report["rows"] == ITEMS
    canaries = sum(found["display_name"].split("/")[2] == "0" for found in jobs)
    assert sum(found["billed_rows"] for found in jobs) == ITEMS + canaries


def test_a_service_that_is_away_at_the_start_is_named_and_nothing_is_begun(
    project: Callable[..., Project],
) -> None:
    with emulator() as remote:
        remote.faults({"on": "batches.list", "do": "status", "status": 401})
        job: Project = project(remote.url).write(texts(3))
        refused = invoke("run", job.config)
        assert refused.code == 2
        assert "GEMINI_API_KEY" in refused.err
    assert not list(job.run_dir.glob("plans/*"))
    assert not list(job.run_dir.glob("ledger/commit.*"))
