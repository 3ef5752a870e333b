"""The way of one request through the attempts of its shard."""

from __future__ import annotations

from typing import Any

from reembed.core.plans import ShardPlan
from reembed.core.records import Child, Claim, Created, Need, Outcome
from reembed.machine.history import Step, history_of
from reembed.machine.snapshot import ShardRecords, state_of_shard


def child(*ranges: tuple[int, int]) -> Child:
    return Child(ordinals=ranges, need=Need())


FAILED = Outcome(
    state="SUCCEEDED",
    job="batches/1",
    end_time="2026-01-01T00:00:00Z",
    children={"0.0": child((3, 4)), "0.1": child((7, 9))},
)
RECORDS = ShardRecords(
    claims={"0": {1: Claim(holder="a", epoch=1), 2: Claim(holder="b", epoch=2)}},
    voids=frozenset({("0", 1)}),
    created={"0": Created(job="batches/1", display_name="d", epoch=2)},
    outcomes={"0": FAILED},
)


def steps(plan: ShardPlan, request: int) -> list[Step]:
    return history_of(state_of_shard(plan, RECORDS, 0.0), RECORDS, request)


def plan_of(**more: Any) -> ShardPlan:
    given = {"shard": "00000000-000001", "chunks": 10, "requests": 10, "canaries": 0, "rejects": 0}
    sizes = {"wire_bytes": 1, "result_bytes": 1, "usd_nano": 1, "fingerprint": "f" * 64}
    return ShardPlan.model_validate({**given, **sizes, "tokens": {"text": 1}, **more})


def test_a_request_that_was_answered_has_one_step() -> None:
    [step] = steps(plan_of(), 0)
    assert (step.attempt, step.epochs, step.void, step.goes_on) == ("0", (1, 2), (1,), "")
    assert (step.job, step.state, step.ended) == ("batches/1", "SUCCEEDED", FAILED.end_time)


def test_a_request_that_failed_goes_on_in_the_attempt_that_has_it() -> None:
    assert [step.attempt for step in steps(plan_of(), 3)] == ["0", "0.0"]
    first, second = steps(plan_of(), 8)
    assert (first.goes_on, second.attempt, second.job, second.state) == ("0.1", "0.1", "", "")
