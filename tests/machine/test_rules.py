"""Rules of a run from its configuration, and jobs of the run in a listing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reembed.config.schema import Config
from reembed.errors import UsageError
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Reservations
from reembed.machine.rules import ListedJob, Rules, SharedState, jobs_by_attempt
from reembed.providers.gemini.provider import CAPABILITIES


def rules_of(**batch: object) -> Rules:
    config = Config.model_validate({"name": "n", "source": {"files": ["*"]}, "batch": batch})
    return Rules.of(config, CAPABILITIES, "run1", "me", metadata_echo=False)


def test_hours_and_days_become_seconds() -> None:
    rules = rules_of(stuck_hours=2, job_list_days=3, on_stuck="resubmit")
    assert (rules.stuck_after, rules.job_list_retention) == (7200.0, 3 * 86400.0)
    assert rules.resubmit_stuck
    assert rules_of().job_list_retention == CAPABILITIES.job_list_days * 86400.0


def test_a_service_whose_jobs_cannot_be_found_again_is_refused() -> None:
    config = Config.model_validate({"name": "n", "source": {"files": ["*"]}})
    with pytest.raises(UsageError, match="does not list its jobs by name"):
        Rules.of(config, replace(CAPABILITIES, lists_jobs=False), "r", "me", False)


def listed(display_name: str, job: str = "batches/1") -> ListedJob | None:
    shown = {"create_time": "", "input_file": "", "state": "RUNNING", "done": False}
    return ListedJob.of("run1", job, display_name, **shown)  # type: ignore[arg-type]


def test_a_listed_job_is_of_this_run_or_none() -> None:
    job = listed("run1/00000000-000003/0.1/abcdef01")
    assert job is not None
    assert (job.shard, job.attempt, job.fingerprint) == ("00000000-000003", "0.1", "abcdef01")
    assert listed("run2/00000000-000003/0/abcdef01") is None
    assert listed("somebody's own job") is None


def test_jobs_of_an_attempt_stay_in_the_order_of_the_listing() -> None:
    name = "run1/00000000-000003/0/abcdef01"
    jobs = [job for job in (listed(name, "b"), listed(name, "a")) if job is not None]
    assert jobs_by_attempt(jobs) == {("00000000-000003", "0"): tuple(jobs)}


@pytest.mark.parametrize(("stopped", "halted"), [(True, ""), (False, "because"), (False, "")])
def test_jobs_are_created_unless_somebody_stopped_that(stopped: bool, halted: str) -> None:
    quotas = Quotas(max_usd_nano=None, jobs=1, tokens=1, file_bytes=1)
    shared = SharedState(0.0, 0.0, Reservations(), quotas, stopped=stopped, halted=halted)
    assert shared.may_create == (not stopped and not halted)
