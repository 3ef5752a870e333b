"""What makes a process create no more jobs, and what does not."""

from __future__ import annotations

import pytest

from reembed.core.records import Outcome
from reembed.machine.halts import (
    MOST_LOST_INPUTS,
    REFUSALS_BEFORE_HALT,
    JobEndings,
    halt_after_refusals,
    halt_for_missing_input,
    halt_for_unusable_answers,
)
from reembed.machine.snapshot import ShardRecords

MALFORMED = ("FAILED", 3)


def endings(*ended: tuple[str, int]) -> JobEndings:
    counted = JobEndings()
    for state, code in ended:
        counted = counted.add(state, code)
    return counted


def test_jobs_that_are_all_refused_as_malformed_halt() -> None:
    assert halt_after_refusals(endings(*[MALFORMED] * (REFUSALS_BEFORE_HALT - 1))) == ""
    assert "refused as malformed" in halt_after_refusals(endings(*[MALFORMED] * 3))


def test_one_success_shows_that_it_is_about_single_jobs() -> None:
    assert halt_after_refusals(endings(*[MALFORMED] * 5, ("SUCCEEDED", 0))) == ""


def test_other_failures_are_not_refusals() -> None:
    assert halt_after_refusals(endings(*[("FAILED", 13)] * 9)) == ""


def test_of_an_earlier_call_only_successes_count() -> None:
    outcomes = {
        "0": Outcome(state="SUCCEEDED", job="a"),
        "1": Outcome(state="FAILED", job="b"),
    }
    recorded = JobEndings().add_recorded(ShardRecords(outcomes=outcomes))
    assert (recorded.succeeded, recorded.malformed) == (1, 0)


def test_an_answer_in_question_halts_until_it_is_accepted_or_ended() -> None:
    records = ShardRecords(suspects={"0": "canary_differs"})
    assert halt_for_unusable_answers(records, accept_repay=False) == "canary_differs"
    assert halt_for_unusable_answers(records, accept_repay=True) == ""
    ended = ShardRecords(
        suspects={"0": "canary_differs"}, outcomes={"0": Outcome(state="QUARANTINED", job="a")}
    )
    assert halt_for_unusable_answers(ended, accept_repay=False) == ""


@pytest.mark.parametrize(
    ("epoch", "inline", "halts"),
    [(1, False, False), (MOST_LOST_INPUTS, False, False), (5, False, True), (1, True, True)],
)
def test_an_input_may_be_gone_but_not_again_and_again(
    epoch: int, inline: bool, halts: bool
) -> None:
    assert bool(halt_for_missing_input(epoch, inline, "not found")) == halts
