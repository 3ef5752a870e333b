"""When a plan is not waited for: by hand, and at the border."""

from __future__ import annotations

import pytest

from reembed.core.plans import PlanTotals
from reembed.machine.quotas import Quotas, days_under, rest_of, why_not_wait

QUOTAS = Quotas(tokens=1000, jobs=10, file_bytes=None)


def plan(jobs: int) -> PlanTotals:
    """Jobs of 100 tokens, ten of which fit the quota at once."""
    return PlanTotals(jobs=jobs, shards=jobs, tokens={"text": 100 * jobs})


def test_six_rounds_of_four_hours_are_waited_for_and_seven_are_not() -> None:
    assert why_not_wait(QUOTAS, plan(60), 24) == ""
    assert "about 28 h, by the quota of enqueued tokens" in why_not_wait(QUOTAS, plan(61), 24)
    assert "batch.max_wait_hours (24)" in why_not_wait(QUOTAS, plan(61), 24)
    assert why_not_wait(QUOTAS, plan(61), 28) == ""


def test_one_round_above_the_limit_names_no_quota() -> None:
    said = why_not_wait(QUOTAS, plan(3), 3.5)
    assert said.startswith("at 4 h for a job this takes about 4 h, more than")
    assert why_not_wait(QUOTAS, PlanTotals(), 0.1) == "", "nothing to send"


@pytest.mark.parametrize("settled", [0, 1, 30, 61])
def test_what_is_settled_is_not_waited_for_again(settled: int) -> None:
    rest = rest_of(plan(61), settled)
    assert (rest.jobs, rest.shards) == (61 - settled, 61 - settled)
    assert rest.tokens == {"text": 100 * (61 - settled)}
    assert (why_not_wait(QUOTAS, rest, 24) == "") == (settled > 0)
    assert days_under(QUOTAS, rest, 4.0).days * 24 == 4 * -(-(61 - settled) // 10)


def test_a_plan_without_shards_has_no_rest() -> None:
    assert rest_of(PlanTotals(), 0) == PlanTotals()
