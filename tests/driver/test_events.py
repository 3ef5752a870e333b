"""What an action is told and counted as: once, by the process whose record stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reembed.config.models import MODELS
from reembed.core.plans import ShardPlan
from reembed.core.records import Child, Created, Need, Outcome, Redrive, Settled
from reembed.driver.events import Event, event_of
from reembed.driver.progress import oldest_pending
from reembed.machine import actions as act
from reembed.machine.reduce import Refused, Result
from reembed.machine.snapshot import ShardRecords, state_of_shard
from reembed.machine.states import Ended, ObservedJob, Prepared, ShardState

SPEC = MODELS["gemini-embedding-2"]
PLAN = ShardPlan(
    shard="00000000-000000", chunks=10, requests=9, canaries=1, rejects=1, tokens={"text": 100},
    wire_bytes=1000, result_bytes=1000, usd_nano=10_000, fingerprint="f" * 64,
)  # fmt: skip
JOB = Created(job="batches/one", display_name="a/b/0/f", epoch=1)


@pytest.fixture
def view() -> ShardState:
    """A shard whose requests are rendered."""
    view = state_of_shard(PLAN, ShardRecords(), 0.0)
    attempt = view.attempts["0"].with_local(prepared=Prepared("/none", 10, 1234))
    return view.with_attempt(attempt)


def told(view: ShardState, action: act.Action, result: Result) -> Event | None:
    return event_of(view, action, result, SPEC)


def counts(view: ShardState, action: act.Action, result: Result) -> dict[str, int]:
    event = told(view, action, result)
    return dict(event.counts) if event is not None else {}


def test_money_that_was_reserved_counts_and_a_full_book_does_not(view: ShardState) -> None:
    reserve = act.Reserve("0", 1, Need(usd_nano=700))
    assert counts(view, reserve, "won") == {"reserved_nano_usd": 700}
    assert counts(view, reserve, "full") == {}


def test_bytes_count_where_they_travel(view: ShardState) -> None:
    assert counts(view, act.Upload("0", 1), "files/x") == {"uploaded_bytes": 1234}
    by_file = {"jobs_created": 1, "requests_sent": 10}
    assert counts(view, act.Create("0", 1, inline=False), JOB) == by_file
    inline = {**by_file, "uploaded_bytes": 1234}
    assert counts(view, act.Create("0", 1, inline=True), JOB) == inline
    ended = Ended(Outcome(state="SUCCEEDED", job="batches/one"), answer_bytes=77)
    assert counts(view, act.Join("0", "batches/one"), ended) == {"downloaded_bytes": 77}


def test_a_record_of_another_process_is_not_counted_again(view: ShardState) -> None:
    ours = act.RecordCreated("0", JOB)
    assert counts(view, ours, ours.created) == {"jobs_adopted": 1}
    assert counts(view, ours, JOB.model_copy()) == {}
    ended = act.RecordOutcome("0", Outcome(state="SUCCEEDED", job="batches/one", rows=9))
    assert counts(view, ended, ended.outcome)["jobs_succeeded"] == 1
    assert counts(view, ended, ended.outcome.model_copy()) == {}
    settle = act.RecordSettled(Settled(generation=0, planned=10, rows=9, rejects=1))
    assert counts(view, settle, "won") == {"shards_settled": 1, "rows": 9, "rejects": 1}
    assert counts(view, settle, "lost") == {}


def test_what_a_job_cost_is_priced_by_the_tokens_of_its_answer(view: ShardState) -> None:
    tokens = {"text": 1_000_000}
    action = act.RecordOutcome("0", Outcome(state="SUCCEEDED", job="batches/x", tokens=tokens))
    price = SPEC.prices["text"].batch
    assert counts(view, action, action.outcome)["spent_nano_usd"] == round(price * 1e9)
    failed = act.RecordOutcome("0", Outcome(state="FAILED", job="batches/x", cause="no reason"))
    event = told(view, failed, failed.outcome)
    assert event is not None
    assert event.grave
    assert event.why == "FAILED: no reason"
    assert event.counts == {"jobs_failed": 1, "spent_nano_usd": 0}
    unsent = act.RecordOutcome("0", Outcome(state="NOT_SENT", job=""))
    assert told(view, unsent, unsent.outcome) is None


def test_a_redrive_counts_what_it_adds(view: ShardState) -> None:
    before = Settled(generation=0, planned=10, rows=6, rejects=4)
    sent = Redrive(sent=Child(ordinals=((0, 3),), need=Need()), chunks=3)
    again = replace(view, generation=1, previous=before, redrive=sent)
    settle = act.RecordSettled(Settled(generation=1, planned=10, rows=8, rejects=2))
    assert counts(again, settle, "won") == {"shards_settled": 1, "rows": 2, "rejects": 1}


def test_a_429_is_told_apart(view: ShardState) -> None:
    create = act.Create("0", 1, inline=False)
    for quota, name in ((True, "quota_refused"), (False, "not_sent")):
        event = told(view, create, Refused("too much", 30.0, quota=quota))
        assert event is not None
        assert (event.name, event.why) == (name, "too much")


def test_the_oldest_pending_job_gives_the_age(view: ShardState) -> None:
    assert oldest_pending([view], 1000.0) == 0
    running = ObservedJob("batches/one", "RUNNING", False, created_at=400.0)
    one = view.with_attempt(replace(view.attempts["0"], job=running))
    other = view.with_attempt(replace(view.attempts["0"], job=replace(running, created_at=250.0)))
    assert oldest_pending([one, other], 1000.0) == 750
    done = view.with_attempt(replace(view.attempts["0"], job=replace(running, done=True)))
    assert oldest_pending([done], 1000.0) == 0
