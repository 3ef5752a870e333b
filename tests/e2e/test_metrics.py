"""Beam's own metrics of both pipelines: what they count, and that nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apache_beam as beam

from e2e.harness import Project, Remote, texts
from reembed.beam.engine import beam_options
from reembed.beam.metrics import EMBED, PENDING, PENDING_NOW, metrics_of
from reembed.beam.run_lanes import build_embed
from reembed.config.load import load_config
from reembed.core.plans import PlanSummary
from reembed.driver.session import Session
from reembed.ledger.commits import commit_plan
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.plan import make_plan


def committed(job: Project) -> tuple[Session, PlanSummary]:
    """A run that was planned and committed, and of which nothing was sent."""
    loaded = load_config(job.config)
    config, run_dir = loaded.config, open_run_dir(loaded.config.run_dir)
    plan = make_plan(loaded)
    commit = commit_plan(run_dir, config, plan, "")
    return Session(config, commit.run, commit.plan, commit.number), plan


def embed(session: Session) -> Any:
    pipeline = beam.Pipeline(options=beam_options([]))
    build_embed(pipeline, session, 2)
    result = pipeline.run()
    result.wait_until_finish()
    return result


def test_the_engine_shows_what_lanes_did_and_a_second_call_adds_nothing(
    project: Callable[..., Project], remote: Remote
) -> None:
    job = project(batch={"max_requests": 12}).write(texts(30))
    job.write({"broken.png": b"\x89PNG\r\n\x1a\nnothing"})
    session, plan = committed(job)
    totals = plan.plan_totals()
    result = embed(session)
    found = metrics_of(result)[EMBED]
    jobs = remote.jobs_of(session.run)
    assert found["rows"] == 30
    assert found["rejects"] == 1
    assert found["shards_settled"] == totals.shards == len(jobs)
    assert found["jobs_created"] == found["jobs_succeeded"] == totals.jobs
    assert found["requests_sent"] == totals.requests + totals.canaries
    assert found["uploaded_bytes"] > 30 * 40
    assert found["downloaded_bytes"] > 30 * 768 * 4
    assert 0 < found["spent_nano_usd"] <= found["reserved_nano_usd"]
    assert PENDING in found, "a distribution, whatever its maximum in so short a run"
    assert "jobs_adopted" not in found
    gauges = result.metrics().query()["gauges"]
    assert PENDING_NOW in {gauge.key.metric.name for gauge in gauges}
    again = metrics_of(embed(session)).get(EMBED, {})
    assert set(again) <= {PENDING}, "all of it was settled before"
    assert remote.jobs_of(session.run) == jobs
