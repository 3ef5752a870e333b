"""The price of going on: what is left to buy, and what would be bought again."""

from __future__ import annotations

import pytest

from reembed.config.schema import Config
from reembed.ledger.layout import Layout
from reembed.runs.repay import Costs, price_of_repay, price_of_rest
from support.memory import MemoryStorage
from support.runs import Made

EACH = 10**8


@pytest.fixture
def made() -> Made:
    """Two partitions of two shards."""
    made = Made(MemoryStorage(), Layout("/memory/run"), 2, 2)
    made.plan()
    return made


def config_of(**budget: object) -> Config:
    return Config.model_validate({"name": "n", "source": {"files": ["*"]}, "budget": budget})


def test_the_rest_is_what_has_no_job_and_no_reservation(made: Made) -> None:
    newest = made.run_dir.newest_commit()
    assert newest is not None
    assert price_of_rest(made.run_dir, newest.commit) == Costs(4, 4 * EACH)
    made.settle(made.shards(0))
    made.begin(made.shards(1)[:1])
    assert price_of_rest(made.run_dir, newest.commit) == Costs(1, EACH, reserved=2 * EACH)
    assert price_of_rest(made.run_dir, newest.commit).needed == 3 * EACH


def test_nothing_is_in_question_until_an_answer_is(made: Made) -> None:
    made.begin(made.shards(0)[:1])
    assert price_of_repay(made.run_dir, config_of()).attempts == 0
    made.ledger().suspect(made.shards(0)[0], "0", "canary_differs")
    costs = price_of_repay(made.run_dir, config_of(max_usd=0.5))
    assert (costs.attempts, costs.usd_nano, costs.cap) == (1, EACH, 500_000_000)


def test_before_a_commit_nothing_costs_anything() -> None:
    empty = Made(MemoryStorage(), Layout("/memory/none"), 0, 0)
    assert price_of_repay(empty.run_dir, config_of()) == Costs()
