"""What makes a process create no more jobs."""

from __future__ import annotations

from reembed.core.records import Outcome
from reembed.machine.endings import INVALID_ARGUMENT
from reembed.machine.halts import (
    MOST_LOST_INPUTS,
    REFUSALS_BEFORE_HALT,
    JobEndings,
    halt_after_refusals,
    halt_for_missing_input,
    halt_for_refused_create,
    halt_for_refused_upload,
    halt_for_unusable_answers,
)
from reembed.machine.snapshot import ShardRecords


def refused(times: int, endings: JobEndings | None = None) -> JobEndings:
    found = endings or JobEndings()
    for _ in range(times):
        found = found.add("FAILED", INVALID_ARGUMENT)
    return found


def outcome(state: str) -> Outcome:
    return Outcome(state=state, job="batches/1")


def test_the_first_jobs_that_are_all_refused_as_malformed_halt() -> None:
    assert halt_after_refusals(refused(REFUSALS_BEFORE_HALT - 1)) == ""
    reason = halt_after_refusals(refused(REFUSALS_BEFORE_HALT))
    assert reason.startswith(f"the first {REFUSALS_BEFORE_HALT} jobs were all refused")
    assert "see the outcomes' causes" in reason


def test_one_success_shows_that_configuration_and_service_agree() -> None:
    endings = JobEndings().add("SUCCEEDED", 0)
    assert halt_after_refusals(refused(10, endings)) == ""
    recorded = ShardRecords(outcomes={"0": outcome("SUCCEEDED")})
    assert halt_after_refusals(refused(10, JobEndings().add_recorded(recorded))) == ""


def test_what_an_earlier_call_saw_refused_is_not_counted_again() -> None:
    recorded = ShardRecords(outcomes={str(n): outcome("FAILED") for n in range(9)})
    assert JobEndings().add_recorded(recorded) == JobEndings()


def test_other_failures_say_nothing_of_the_configuration() -> None:
    endings = JobEndings()
    for _ in range(10):
        endings = endings.add("FAILED", 13).add("EXPIRED", 0).add("CANCELLED", INVALID_ARGUMENT)
    assert halt_after_refusals(endings) == ""


def test_an_answer_in_question_halts_until_it_is_accepted_or_has_its_outcome() -> None:
    records = ShardRecords(suspects={"0": "damaged", "0.0": "gone"})
    assert halt_for_unusable_answers(records, accept_repay=False) == "damaged"
    assert halt_for_unusable_answers(records, accept_repay=True) == ""
    decided = ShardRecords(suspects={"0": "damaged"}, outcomes={"0": outcome("QUARANTINED")})
    assert halt_for_unusable_answers(decided, accept_repay=False) == ""


def test_an_input_may_be_gone_some_times_and_a_model_never() -> None:
    assert halt_for_missing_input(MOST_LOST_INPUTS, inline=False, message="gone") == ""
    later = halt_for_missing_input(MOST_LOST_INPUTS + 1, inline=False, message="gone")
    assert later == "the service does not find what a job needs: gone"
    assert halt_for_missing_input(1, inline=True, message="no model") != ""


def test_a_refusal_is_reported_in_the_services_words() -> None:
    assert halt_for_refused_create("no priority").endswith("create a job: no priority")
    assert halt_for_refused_upload("too big").endswith("the input file: too big")
