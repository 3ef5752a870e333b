"""People are told of a run's ends, each once over all calls; and the log lines are JSON."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from e2e.harness import Done, Project, Silent, emulator, invoke, reembed, texts
from reembed.config.load import load_config
from reembed.core.plans import PlanSummary
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session
from reembed.runs.notified import run_with_notifications
from reembed.runs.options import RunOptions
from support.hooks import Hook, serve_hook
from support.waiting import wait_until

KEY = "some-secret-AIzaSy0123456789abcdefghijklmnop"
ITEMS = 40


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serve_hook() as served:
        yield served


def told(hook: Hook) -> list[str]:
    return [body["event"] for body in hook.bodies()]


def test_each_end_is_told_once_over_all_calls(project: Callable[..., Project], hook: Hook) -> None:
    with emulator(pending_seconds=0, running_seconds=0.01) as fresh:
        notify = {"webhook": hook.url, "attempts": 1, "command": ["sh", "-c", "cat >> told"]}
        settings = {"batch": {"max_requests": 12, "poll_seconds": [0.1, 0.2]}, "notify": notify}
        job = project(fresh.url, **settings).write(texts(ITEMS))
        plan = invoke("plan", job.config, "--json").json()
        assert float(plan["max_usd"]) >= plan["usd_batch"]
        other = invoke("submit", job.config, "--expect-plan", "0" * 16)
        assert other.code == 2
        assert f"the plan is {plan['plan']} now that" in other.err
        assert not fresh.jobs()
        assert told(hook) == [], "a wrong option of a call is nobody else's concern"

        half = f"{plan['usd_batch'] * 0.6:.7f}"
        expected = ("--expect-plan", plan["plan"])
        hook.statuses = [500]
        lost = invoke("run", job.config, "--max-usd", half, *expected)
        assert lost.code == 75, lost.err
        assert "notify: capped could not be told by webhook: 127.0.0.1 answers 500" in lost.err
        assert "secret-part" not in lost.err
        for _ in range(2):
            assert invoke("run", job.config, "--max-usd", half, *expected).code == 75
        assert told(hook) == ["capped", "capped"], "lost once, then told once"
        capped = hook.bodies()[-1]
        assert capped["schema"] == 1
        assert capped["counts"]["settled_shards"] == 2
        assert capped["counts"]["shards"] == 4
        assert 0 < capped["dollars"]["usd"] <= capped["dollars"]["usd_reserved"] <= float(half)
        assert "--max-usd" in capped["message"]
        assert capped["report"] == f"{job.run_dir}/report.json"
        assert capped["text"].startswith(f"reembed harness {capped['run']} capped: ")

        done = invoke("run", job.config, "--max-usd", plan["max_usd"], *expected)
        assert done.code == 0, done.err
        assert invoke("run", job.config, *expected).code == 0
        assert invoke("advance", job.config).code == 0
        assert told(hook) == ["capped", "capped", "settled"]
        assert hook.bodies()[-1]["counts"]["rows"] == ITEMS
        by_command = [json.loads(line) for line in _objects((job.folder / "told").read_text())]
        assert [body["event"] for body in by_command] == ["capped", "settled"]
        assert all("secret-part" not in path.read_text() for path in job.run_dir.glob("logs/*"))


def _objects(text: str) -> list[str]:
    return text.replace("}{", "}\n{").splitlines()


def test_a_failure_is_told_once_until_another_comes(
    project: Callable[..., Project], hook: Hook
) -> None:
    with emulator(shuffle_results=False) as fresh:
        notify = {"webhook": hook.url, "body": "text"}
        job = project(fresh.url, notify=notify).write(texts(12))
        fresh.faults({"job": 1, "do": "scramble_keys"})
        for command in ("run", "advance", "run"):
            assert invoke(command, job.config).code == 1
        [body] = hook.bodies()
        assert set(body) == {"text"}, "all that chat services take"
        assert "failed: " in body["text"]
        assert "--accept-repay" in body["text"]
        other = invoke("advance", job.config, "--set", "model.dimensions=128")
        assert other.code == 2, "an open run that cannot go on"
        assert len(hook.got) == 2


def test_jobs_that_hang_are_told_while_a_call_waits_for_them(
    project: Callable[..., Project], hook: Hook
) -> None:
    with emulator() as fresh:
        settings = {"batch": {"stuck_hours": 1e-6}, "notify": {"webhook": hook.url}}
        job = project(fresh.url, **settings).write(texts(3))
        fresh.faults({"job": 1, "do": "stuck"})
        assert invoke("submit", job.config).code == 75
        for _ in range(2):
            assert invoke("advance", job.config).code == 75
        [body] = hook.bodies()
        assert body["event"] == "stuck"
        assert body["stuck"] == [fresh.jobs()[0]["name"]]
        assert "on_stuck: resubmit" in body["next"]

        for path in job.run_dir.glob("ledger/runs/0001/notified/*"):
            path.unlink()
        seen = Seen()
        options = RunOptions(approve=lambda plan: 1.0)
        user = threading.Thread(target=_wait_then_interrupt, args=(hook, options.interrupt))
        user.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                run_with_notifications(load_config(job.config), options, seen, look_every=0.1)
        finally:
            user.join()
        assert told(hook) == ["stuck", "stuck"]
        [session] = seen.sessions
        assert b"secret-part" not in pickle.dumps(session), "the address travels to no worker"


class Seen(Silent):
    """Keeps what travels to workers."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        self.sessions.append(session)


def _wait_then_interrupt(hook: Hook, interrupt: Interrupt) -> None:
    try:
        wait_until(lambda: len(hook.got) == 2, "the second notice")
    finally:
        interrupt.set()


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_is_a_json_object_without_the_key(
    project: Callable[..., Project], hook: Hook
) -> None:
    with emulator(expected_key=KEY) as guarded:
        notify = {"webhook_env": "SOME_HOOK", "attempts": 1}
        job = project(guarded.url, batch={"max_requests": 12}, notify=notify).write(texts(24))
        error = {"do": "status", "status": 500, "message": f"key {KEY}", "times": 2}
        guarded.faults({"on": "batches.get", **error})
        hook.statuses = [500]
        env: dict[str, Any] = {
            "GEMINI_API_KEY": KEY,
            "SOME_HOOK": hook.url,
            "REEMBED_LOG_FORMAT": "json",
        }
        other = invoke("run", job.config, "--log-format", "json")
        assert other.code == 2
        done = reembed("run", job.config, timeout=90, **env)
        assert done.code == 0, done.err
    first, kept = lines_of(other.err), lines_of((job.run_dir / "logs/reembed.log").read_text())
    assert first[:-1] + lines_of(done.err) == kept[: len(first) - 1] + kept[len(first) :]
    assert first[-1] | {"time": ""} == kept[len(first) - 1] | {"time": "", "run": ""}
    run = job.results().report["run"]
    fields = {"time", "severity", "message", "logger", "event", "run", "shard", "attempt", "job"}
    for line in kept:
        assert fields <= set(line) <= fields | {"counts", "exception"}
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert line["severity"] in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    events = {line["event"]: line for line in kept}
    created = events["job_created"]
    assert (created["run"], created["attempt"]) == (run, "0")
    assert created["job"].startswith("batches/")
    assert created["shard"] in created["message"]
    assert {"planning", "planned", "embedding", "shard_settled", "notified"} <= set(events)
    assert "the service refuses the key" in events["refused"]["message"]
    assert events["refused"]["severity"] == "ERROR"
    metrics = [line["counts"] for line in kept if line["event"] == "metrics"]
    assert [counts["rows"] for counts in metrics if "rows" in counts] == [24]
    plan = next(counts for counts in metrics if "items" in counts)
    assert plan["items"] == plan["chunks"] == plan["requests"] == 24
    assert plan["planned_nano_usd"] > 0
    _hides(done, job)


def _hides(done: Done, job: Project) -> None:
    for text in (done.out, done.err, *(p.read_text() for p in job.run_dir.glob("logs/*"))):
        assert KEY not in text
        assert "secret-part" not in text
