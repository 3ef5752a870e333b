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
from reembed.machine.reduce import Result, SendRefused
from reembed.machine.snapshot import ShardRecords, state_of_shard
from reembed.machine.states import ObservedJob, PendingOutcome, Prepared, ShardState

SPEC = MODELS["gemini-embedding-2"]
PLAN = ShardPlan(
    shard="00000000-000000", chunks=10, requests=9, canaries=1, rejects=1, tokens={"text": 100},
    wire_bytes=1000, result_bytes=1000, usd_nano=10_000, fingerprint="f" * 64,
)  # fmt: skip
JOB = Created(job="batches/one", display_name="a/b/0/f", epoch=1)


@pytest.fixture
def state() -> ShardState:
    """A shard whose requests are rendered."""
    state = state_of_shard(PLAN, ShardRecords(), 0.0)
    attempt = state.attempts["0"].with_local(prepared=Prepared("/none", 10, 1234))
    return state.with_attempt(attempt)


def told(state: ShardState, action: act.Action, result: Result) -> Event | None:
    return event_of(state, action, result, SPEC)


def counts(state: ShardState, action: act.Action, result: Result) -> dict[str, int]:
    event = told(state, action, result)
    return dict(event.counts) if event is not None else {}


def test_money_that_was_reserved_counts_and_a_full_book_does_not(state: ShardState) -> None:
    reserve = act.Reserve("0", 1, Need(usd_nano=700))
    assert counts(state, reserve, "won") == {"reserved_nano_usd": 700}
    assert counts(state, reserve, "full") == {}


def test_bytes_count_where_they_travel(state: ShardState) -> None:
    assert counts(state, act.Upload("0", 1), "files/x") == {"uploaded_bytes": 1234}
    by_file = {"jobs_created": 1, "requests_sent": 10}
    assert counts(state, act.Create("0", 1, inline=False), JOB) == by_file
    inline = {**by_file, "uploaded_bytes": 1234}
    assert counts(state, act.Create("0", 1, inline=True), JOB) == inline
    ended = PendingOutcome(Outcome(state="SUCCEEDED", job="batches/one"), answer_bytes=77)
    assert counts(state, act.Join("0", "batches/one"), ended) == {"downloaded_bytes": 77}


def test_a_record_of_another_process_is_not_counted_again(state: ShardState) -> None:
    ours = act.RecordCreated("0", JOB)
    assert counts(state, ours, ours.created) == {"jobs_adopted": 1}
    assert counts(state, ours, JOB.model_copy()) == {}
    ended = act.RecordOutcome("0", Outcome(state="SUCCEEDED", job="batches/one", rows=9))
    assert counts(state, ended, ended.outcome)["jobs_succeeded"] == 1
    assert counts(state, ended, ended.outcome.model_copy()) == {}
    settle = act.RecordSettled(Settled(generation=0, planned=10, rows=9, rejects=1))
    assert counts(state, settle, "won") == {"shards_settled": 1, "rows": 9, "rejects": 1}
    assert counts(state, settle, "lost") == {}


def test_what_a_job_cost_is_priced_by_the_tokens_of_its_answer(state: ShardState) -> None:
    tokens = {"text": 1_000_000}
    action = act.RecordOutcome("0", Outcome(state="SUCCEEDED", job="batches/x", tokens=tokens))
    price = SPEC.prices["text"].batch
    assert counts(state, action, action.outcome)["spent_nano_usd"] == round(price * 1e9)
    failed = act.RecordOutcome("0", Outcome(state="FAILED", job="batches/x", cause="no reason"))
    event = told(state, failed, failed.outcome)
    assert event is not None
    assert event.severe
    assert event.reason == "FAILED: no reason"
    assert event.counts == {"jobs_failed": 1, "spent_nano_usd": 0}
    unsent = act.RecordOutcome("0", Outcome(state="NOT_SENT", job=""))
    assert told(state, unsent, unsent.outcome) is None


def test_a_redrive_counts_what_it_adds(state: ShardState) -> None:
    before = Settled(generation=0, planned=10, rows=6, rejects=4)
    sent = Redrive(sent=Child(ordinals=((0, 3),), need=Need()), chunks=3)
    again = replace(state, generation=1, previous=before, redrive=sent)
    settle = act.RecordSettled(Settled(generation=1, planned=10, rows=8, rejects=2))
    assert counts(again, settle, "won") == {"shards_settled": 1, "rows": 2, "rejects": 1}


def test_a_429_is_told_apart(state: ShardState) -> None:
    create = act.Create("0", 1, inline=False)
    for quota, name in ((True, "quota_refused"), (False, "not_sent")):
        event = told(state, create, SendRefused("too much", 30.0, quota=quota))
        assert event is not None
        assert (event.name, event.reason) == (name, "too much")


def test_the_oldest_pending_job_gives_the_age(state: ShardState) -> None:
    assert oldest_pending([state], 1000.0) == 0
    running = ObservedJob("batches/one", "RUNNING", False, created_at=400.0)
    one = state.with_attempt(replace(state.attempts["0"], job=running))
    other = state.with_attempt(replace(state.attempts["0"], job=replace(running, created_at=250.0)))
    assert oldest_pending([one, other], 1000.0) == 750
    done = state.with_attempt(replace(state.attempts["0"], job=replace(running, done=True)))
    assert oldest_pending([done], 1000.0) == 0
