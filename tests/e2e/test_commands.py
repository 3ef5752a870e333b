"""plan, status and doctor as a user calls them: what they say, what they cost, how they exit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from e2e.harness import ROOT, Project, Remote, emulator, invoke, reembed, start, texts
from support.waiting import DEADLINE, wait_until

PAID = ("batches.create", "upload.start", "embedContent", "models.embedContent")


def test_plan_prints_everything_and_pays_nothing(
    project: Callable[..., Project], remote: Remote
) -> None:
    job = project().write(texts(30))
    before = remote.count("*", *PAID)
    done = invoke("plan", job.config)
    assert done.code == 0, done.err
    for words in (
        "30 items",
        "30 chunks",
        "1 jobs",
        "canaries",
        "online",
        "batch",
        "binds",
        "24 h",
    ):
        assert words in done.out, words
    assert remote.count("*", *PAID) == before
    assert not list(job.run_dir.glob("ledger/commit.*"))


def test_plan_as_json(project: Callable[..., Project]) -> None:
    job = project().write({**texts(30), "copy.txt": texts(1)["note 000.txt"], "empty.txt": b""})
    plan = invoke("plan", job.config, "--json").json()
    assert (plan["items"], plan["chunks"], plan["rejects"]) == (32, 32, 1)
    assert plan["usd_online"] == pytest.approx(2 * plan["usd_batch"])
    assert plan["usd_batch"] > 0
    assert plan["prices_as_of"].startswith("20")
    assert [days["turnaround_hours"] for days in plan["days"]] == [1, 4, 24]
    assert all(days["binds"] for days in plan["days"])
    assert set(plan["tokens"]) == {"text"}
    assert plan["requests"] + plan["shared"] == 31
    again = invoke("plan", job.config, "--json").json()
    assert again["plan"] == plan["plan"]


def test_a_smaller_quota_takes_more_days_and_says_so(project: Callable[..., Project]) -> None:
    # Long texts, one a job; the quota lets through a fraction of them at a time.
    long = {f"long {n}.txt": f"word{n} " * 2000 for n in range(10)}
    job = project(batch={"enqueued_tokens": 4000}).write(long)
    days = invoke("plan", job.config, "--json").json()["days"]
    assert {row["binds"] for row in days} == {"enqueued tokens"}
    assert days[-1]["enqueued_tokens"] > 1
    wide = invoke("plan", job.config, "--set", "batch.enqueued_tokens=5000000", "--json").json()
    assert wide["days"][-1]["enqueued_tokens"] < days[-1]["enqueued_tokens"]


def test_a_sample_is_small_and_always_the_same(project: Callable[..., Project]) -> None:
    job = project().write(texts(40))
    first = invoke("run", job.config, "--sample", 5, "--run-dir", job.folder / "one")
    second = invoke("run", job.config, "--sample", 5, "--run-dir", job.folder / "two")
    assert first.code == second.code == 0
    keys = [row["key"] for row in job.results(job.folder / "one").rows()]
    assert len(keys) == 5
    assert keys == [row["key"] for row in job.results(job.folder / "two").rows()]
    more = invoke("plan", job.config, "--sample", 9, "--json").json()
    assert more["items"] == 9


def test_a_resumed_plan_is_the_plan_that_run_takes(project: Callable[..., Project]) -> None:
    job = project().write(texts(5))
    plan = invoke("plan", job.config, "--json").json()["plan"]
    report = invoke("run", job.config, "--json").json()
    assert report["plan"] == plan


def test_json_leaves_nothing_else_on_the_output(project: Callable[..., Project]) -> None:
    job = project().write(texts(3))
    done = reembed("run", job.config, "--json")
    assert done.code == 0, done.err
    assert done.json()["rows"] == 3
    assert done.err == ""


def test_status_before_during_and_after(project: Callable[..., Project]) -> None:
    with emulator(pending_seconds=0, running_seconds=3600) as slow:
        job = project(slow.url, batch={"max_requests": 12}).write(texts(30))
        none = invoke("status", job.config)
        assert none.code == 2
        assert "reembed run" in none.err
        process = start("run", job.config)
        try:
            wait_until(lambda: len(slow.jobs()) == 3, "all jobs are created")
            wait_until(
                lambda: invoke("status", job.config, "--json").json()["jobs"] > 1,
                "status counts two jobs",
            )
            during = invoke("status", job.config, "--json")
            slow.advance(7200)
            _, err = process.communicate(timeout=DEADLINE)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        assert process.returncode == 0, err
    assert during.code == 75
    told = during.json()
    assert told["state"] == "open"
    assert told["planned"] == 30
    assert told["usd_reserved"] > 0
    after = invoke("status", job.config, "--json")
    assert after.code == 0
    assert after.json()["state"] == "settled"
    assert after.json()["rows"] == 30
    shown = invoke("status", job.config, "--watch")
    assert shown.code == 0
    assert "settled" in shown.out


@pytest.mark.slow
def test_progress_within_a_job_is_shown_in_lines_where_there_is_no_terminal(
    project: Callable[..., Project],
) -> None:
    with emulator(pending_seconds=0.2, running_seconds=10.5) as slow:
        job = project(slow.url).write(texts(30))
        done = reembed("run", job.config)
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if " of 30 chunks" in line]
    assert lines, done.err
    assert "running" in lines[-1] or "queued" in lines[-1]


def test_doctor_finds_everything_in_place(project: Callable[..., Project]) -> None:
    job = project().write(texts(3))
    done = invoke("doctor", job.config, "--json")
    assert done.code == 0, done.out
    checks = {check["name"]: check for check in done.json()["checks"]}
    assert all(check["ok"] for check in checks.values())
    assert {"source", "run directory", "limits", "key and model"} <= set(checks)
    assert "3 items" in checks["source"]["message"]


@pytest.mark.slow
def test_doctor_names_what_is_wrong(project: Callable[..., Project]) -> None:
    job = project("http://127.0.0.1:1", source={"files": ["nothing/**"]})
    done = invoke("doctor", job.config)
    assert done.code == 1
    wrong = [line for line in done.out.splitlines() if line.startswith("no ")]
    assert len(wrong) == 2, done.out
    assert "nothing/**" in wrong[0]
    assert "127.0.0.1:1" in wrong[1] or "connection" in wrong[1]


def test_doctor_says_that_the_key_is_refused(project: Callable[..., Project]) -> None:
    with emulator(expected_key="the-right-one") as strict:
        job = project(strict.url).write(texts(1))
        done = reembed("doctor", job.config, GEMINI_API_KEY="not-the-right-one")
        assert done.code == 1
        assert "GEMINI_API_KEY" in done.out
        assert "not-the-right-one" not in done.out + done.err
        good = reembed("doctor", job.config, GEMINI_API_KEY="the-right-one")
        assert good.code == 0, good.out


@pytest.fixture
def live(project: Callable[..., Project]) -> Iterator[tuple[Project, Remote]]:
    with emulator() as fresh:
        yield project(fresh.url).write(texts(20)), fresh


def test_a_live_check_sends_two_jobs_and_lets_small_jobs_go_inline(
    live: tuple[Project, Remote],
) -> None:
    job, fresh = live
    done = invoke("doctor", job.config, "--live")
    assert done.code == 0, done.out
    assert sorted(found["kind"] for found in fresh.jobs()) == ["file", "inline"]
    for words in ("file yes", "inline yes", "dimensions 768", "cosine 1.0", "deleted: no"):
        assert words in done.out, done.out
    kept = json.loads((job.run_dir / "doctor.json").read_text())
    assert kept["file_keys"] is True
    assert kept["inline_keys"] is True
    assert kept["result_deletable"] is False
    assert kept["norm_min"] > 0
    report = invoke("run", job.config, "--json").json()
    assert report["rows"] == 20
    kinds = [found["kind"] for found in fresh.jobs_of(report["run"])]
    assert kinds == ["inline"], "with metadata seen to come back, a small job needs no file"


@pytest.mark.parametrize("form", ["inline", "file"])
def test_the_form_of_input_can_be_fixed(project: Callable[..., Project], form: str) -> None:
    with emulator() as fresh:
        job = project(fresh.url, batch={"input": form, "priority": 7}).write(texts(6))
        report = invoke("run", job.config, "--json").json()
        assert report["rows"] == 6
        [found] = fresh.jobs_of(report["run"])
    assert found["kind"] == form
    assert found["priority"] == 7


@pytest.mark.parametrize("script", ["plan", "embed"])
def test_the_beam_mains_do_what_the_commands_do(
    project: Callable[..., Project], script: str
) -> None:
    job = project().write(texts(4))
    main = ROOT / "pipelines" / f"{script}.py"
    arguments = [str(job.config), "--json", "--", "--runner=FnApiRunner"]
    done = subprocess.run(
        [sys.executable, str(main), *arguments], capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["items"] == 4
    assert (job.run_dir / "report.json").exists() == (script == "embed")
