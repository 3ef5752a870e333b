"""What the user can mend is said in one line with exit 2, and nothing was sent or paid."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import COMMAND, Project, Remote, environment, invoke, one_line, reembed, texts
from support.waiting import DEADLINE

CREATING = ("batches.create", "upload.start", "upload.finalize")


@pytest.fixture
def nothing_sent(remote: Remote) -> Iterator[None]:
    """Fail when the test made the service do anything at all."""
    before = remote.count(*CREATING)
    yield
    assert remote.count(*CREATING) == before


def refused(done_or_project: Project, *arguments: object) -> str:
    """Run a command that must be refused; return its one line."""
    done = invoke(*arguments)
    assert done.code == 2, done.err + done.out
    assert "Traceback" not in done.err
    assert not list(done_or_project.run_dir.glob("ledger/commit.*"))
    return [line for line in done.err.splitlines() if line][-1]


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_pattern_that_matches_nothing(project: Callable[..., Project], command: str) -> None:
    job = project(source={"files": ["corpus/**", "pictures/*.jpg"]}).write({"a.txt": "words"})
    line = refused(job, command, job.config)
    assert "'pictures/*.jpg' matches no file" in line


@pytest.mark.usefixtures("nothing_sent")
def test_the_real_command_refuses_in_one_line(project: Callable[..., Project]) -> None:
    job = project(model={"dimensionality": 5}).write({"a.txt": "words"})
    done = reembed("run", job.config)
    assert done.code == 2
    assert one_line(done.err).startswith("reembed: model.dimensionality: ")
    assert done.out == ""


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"modell": {"name": "x"}}, ["modell", "model"]),
        ({"model": {"dimensions": 0}}, ["model.dimensions", "0", "128"]),
        ({"model": {"dimensions": 5000}}, ["model.dimensions", "5000", "3072"]),
        ({"model": {"dimensions": "many"}}, ["model.dimensions", "many", "whole number"]),
        ({"model": {"name": "no-model"}}, ["model.name", "no-model", "gemini-embedding-2"]),
        ({"model": {"task": "guessing"}}, ["model.task", "guessing", "retrieval_document"]),
        (
            {"chunking": {"text": {"max_tokens": 100, "overlap_tokens": 100}}},
            ["chunking.text.overlap_tokens", "100"],
        ),
        ({"chunking": {"pdf": {"max_pages": 60}}}, ["chunking.pdf.max_pages", "60", "6"]),
        ({"batch": {"poll_seconds": [9, 3]}}, ["batch.poll_seconds", "shortest first"]),
        ({"budget": {"max_usd": -1}}, ["budget.max_usd", "-1"]),
        ({"source": {"files": []}}, ["source.files"]),
        ({"service": {"base_url": "ftp://x"}}, ["service.base_url", "ftp://x"]),
        ({"run_dir": "s3://bucket/x"}, ["run_dir", "s3://bucket/x", "gs://"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_key_is_named_with_its_value_and_the_remedy(
    project: Callable[..., Project], settings: dict[str, Any], words: list[str]
) -> None:
    job = project(**settings).write({"a.txt": "words"})
    line = refused(job, "run", job.config)
    assert line.startswith("reembed: ")
    for word in words:
        assert word in line, line


@pytest.mark.usefixtures("nothing_sent")
def test_a_file_that_is_no_configuration(project: Callable[..., Project], tmp_path: Path) -> None:
    job = project()
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [unclosed\n")
    assert "broken.yaml:" in refused(job, "run", broken)
    assert "no such file" in refused(job, "run", tmp_path / "absent.yaml")
    assert "empty" in refused(job, "run", _written(tmp_path / "empty.yaml", ""))


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_without_a_cap_and_without_a_terminal(
    project: Callable[..., Project], json_too: list[str]
) -> None:
    job = project(budget={"max_usd": None}).write(texts(3))
    line = refused(job, "run", job.config, *json_too)
    assert "--max-usd" in line
    assert "$" in line


def test_any_key_and_the_cap_can_be_given_on_the_command_line(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    job = project(budget={"max_usd": None}).write(texts(3))
    place = tmp_path / "elsewhere"
    done = invoke(
        *("run", job.config, "--run-dir", place, "--set", "model.dimensions=256"),
        *("--set", "name=other", "--max-usd", "0.5"),
    )
    assert done.code == 0, done.err
    report = job.results(place).report
    assert (report["name"], report["rows"]) == ("other", 3)
    assert len(job.results(place).rows()[0]["embedding"]) == 256
    assert not job.run_dir.exists()


@pytest.fixture
def half_done(project: Callable[..., Project]) -> Project:
    """A run that stopped at its cap, with some shards settled and some not sent."""
    job = project(batch={"max_requests": 12}).write(texts(40))
    plan = invoke("plan", job.config, "--json").json()
    cap = plan["usd_batch"] * 0.6
    done = invoke("run", job.config, "--max-usd", f"{cap:.9f}")
    assert done.code == 75, done.err
    line = done.err.splitlines()[-1]
    assert "shards are not settled" in line
    assert "budget" in line
    assert "max_usd" in line or "the same command" in line
    report = job.results().report
    assert report["state"] == "open"
    assert 0 < report["rows"] < report["planned"]
    assert report["usd_reserved"] <= cap
    return job


def test_a_cap_too_small_comes_again_and_a_higher_one_finishes(
    half_done: Project, remote: Remote
) -> None:
    again = invoke("status", half_done.config, "--json")
    assert again.code == 75
    assert again.json()["shards"].keys() == {"planned", "settled"}
    paid = len(remote.jobs_of(again.json()["run"]))
    done = invoke("run", half_done.config)
    assert done.code == 0, done.err
    report = half_done.results().report
    assert report["rows"] == report["planned"] == 40
    jobs = remote.jobs_of(report["run"])
    assert len(jobs) == report["shards"] > paid > 0
    assert len({job["display_name"] for job in jobs}) == len(jobs)
    assert invoke("status", half_done.config).code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.dimensions=256", ["model.dimensions", "256", "768", "run_dir"]),
        ("source.files=['corpus/note 00*']", ["source.files"]),
        ("chunking.text.max_tokens=999", ["chunking.text.max_tokens", "999"]),
        ("batch.max_requests=7", ["batch.max_requests", "7", "12"]),
    ],
)
def test_a_frozen_key_cannot_change_on_resume(
    half_done: Project, change: str, words: list[str]
) -> None:
    done = invoke("run", half_done.config, "--set", change)
    assert done.code == 2
    line = one_line(done.err)
    for word in words:
        assert word in line, line


def test_another_key_is_refused_unless_it_is_said_to_be_a_rotated_one(
    half_done: Project, tmp_path: Path
) -> None:
    done = reembed("run", half_done.config, GEMINI_API_KEY="quite-another-key")
    assert done.code == 2
    assert "--key-rotated" in one_line(done.err)
    assert "quite-another-key" not in done.err
    rotated = reembed("run", half_done.config, "--key-rotated", GEMINI_API_KEY="quite-another-key")
    assert rotated.code == 0, rotated.err


def test_free_keys_may_change_on_resume(half_done: Project) -> None:
    done = invoke(
        *("run", half_done.config, "--set", "batch.poll_seconds=[0.2, 0.2]"),
        *("--set", "batch.concurrent_jobs=3", "--set", "batch.enqueued_tokens=400000"),
    )
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "arguments",
    [["embed", "x.yaml"], ["run"], ["run", "x.yaml", "--fast"], ["plan", "--sample", "none", "x"],
     ["run", "x.yaml", "--max-usd", "much"], ["run", "x.yaml", "--sample", "0"]],
)  # fmt: skip
def test_unknown_commands_and_options_are_refused(arguments: list[str]) -> None:
    done = invoke(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "--help" in done.err or "Usage" in done.err


def test_beam_options_that_beam_does_not_know_are_refused(project: Callable[..., Project]) -> None:
    job = project().write({"a.txt": "words"})
    done = reembed("plan", job.config, "--", "--runner=NoSuchRunner")
    assert done.code == 2, done.err
    assert "NoSuchRunner" in one_line(done.err.splitlines()[-1])
    assert "Traceback" not in done.err


@contextmanager
def on_a_terminal(*arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    own, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(COMMAND), *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm", COLUMNS="120"),
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield process, own
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(own)


def read_until(own: int, words: str, seconds: float = DEADLINE) -> str:
    """Read what the terminal shows until some words, or its end."""
    seen, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline and (not words or words.encode() not in seen):
        if select.select([own], [], [], 0.2)[0]:
            try:
                data = os.read(own, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not data:
                break
            seen += data
    return seen.decode(errors="replace")


def test_on_a_terminal_it_asks_and_no_sends_nothing(
    project: Callable[..., Project], remote: Remote
) -> None:
    job = project(budget={"max_usd": None}).write(texts(3))
    before = remote.count(*CREATING)
    with on_a_terminal("run", job.config) as (process, own):
        shown = read_until(own, "Submit?")
        assert "may cost up to $" in shown
        os.write(own, b"n\n")
        shown = read_until(own, "")
        assert process.wait(timeout=DEADLINE) == 2
    assert "nothing was sent" in shown
    assert remote.count(*CREATING) == before


def test_on_a_terminal_yes_runs_with_live_bars(
    project: Callable[..., Project], remote: Remote
) -> None:
    remote.faults({"on": "batches.get", "do": "delay", "seconds": 0.6, "times": 6})
    job = project(budget={"max_usd": None}).write(texts(3))
    with on_a_terminal("run", job.config) as (process, own):
        read_until(own, "Submit?")
        os.write(own, b"y\n")
        shown = read_until(own, "")
        assert process.wait(timeout=DEADLINE) == 0
    remote.faults()
    assert "shards" in shown
    assert "planned 3 = rows 3 + rejects 0 + skipped 0" in shown
    assert json.loads((job.run_dir / "report.json").read_text())["rows"] == 3
