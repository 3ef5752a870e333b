"""Days under each quota: hand-made cases, and properties."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reembed.config.load import config_from_mapping
from reembed.core.plans import PlanTotals
from reembed.machine.quotas import Quotas, days_table, days_under, storage_hours
from reembed.providers.gemini.provider import CAPABILITIES

WIDE = Quotas(tokens=10**12, jobs=10**6, file_bytes=10**15)


def plan(jobs: int, tokens: int = 0, given_bytes: int = 0, result: int = 0) -> PlanTotals:
    """A plan of equal jobs; sizes are of one job."""
    return PlanTotals(
        jobs=jobs,
        shards=jobs,
        tokens={"text": tokens * jobs},
        input_bytes=given_bytes * jobs,
        result_bytes=result * jobs,
    )


PLANS = st.builds(
    plan, st.integers(1, 60), st.integers(0, 500), st.integers(0, 50), st.integers(0, 50)
)
HOURS = st.sampled_from([0.5, 1.0, 4.0, 24.0, 47.0, 48.0])
QUOTA = st.integers(1, 2000)


def hours(days: float | None) -> float:
    assert days is not None
    return pytest.approx(days * 24)  # type: ignore[return-value]


def test_everything_at_once_waits_for_the_service_alone() -> None:
    found = days_under(WIDE, plan(100, tokens=1000, given_bytes=10, result=10), 4)
    assert found.binds == "turnaround"
    assert hours(found.days) == 4


def test_nothing_to_send_takes_no_time() -> None:
    found = days_under(WIDE, PlanTotals(items=5, rejects=5), 4)
    assert (found.days, found.binds) == (0, "nothing to send")


def test_enqueued_tokens_make_rounds() -> None:
    # 25,000 tokens a job, 500,000 at once: 20 jobs a round, 101 jobs need 6 rounds.
    found = days_under(replace(WIDE, tokens=500_000), plan(101, tokens=25_000), 24)
    assert found.enqueued_tokens == 6
    assert found.binds == "enqueued tokens"


def test_a_job_above_the_quota_is_split() -> None:
    found = days_under(replace(WIDE, tokens=100), plan(4, tokens=250), 1)
    assert hours(found.enqueued_tokens) == 10


def test_concurrent_jobs_make_rounds() -> None:
    found = days_under(replace(WIDE, jobs=10), plan(101, tokens=1), 1)
    assert hours(found.concurrent_jobs) == 11
    assert found.binds == "concurrent jobs"


def test_results_stay_for_two_days() -> None:
    # Two jobs at once, each 10 bytes of result and none of input: at 0 and 52, at 104 …
    assert storage_hours(20, plan(6, result=10), 4) == 2 * 52 + 4


def test_input_is_freed_when_the_job_ends() -> None:
    # No results at all: two jobs at once, a round each 4 hours.
    assert storage_hours(20, plan(6, given_bytes=10), 4) == 3 * 4


def test_freed_input_makes_room_before_the_results_go() -> None:
    # 100 bytes: 10 + 10 a job. Five start at 0; their 50 of input, freed at 4, take two more; the
    # 20 freed at 8 and the 10 that were left over take one, the tenth waits for the first results.
    assert storage_hours(100, plan(8, given_bytes=10, result=10), 4) == 8 + 4
    assert storage_hours(100, plan(9, given_bytes=10, result=10), 4) == 12 + 4
    assert storage_hours(100, plan(10, given_bytes=10, result=10), 4) == 52 + 4


def test_a_job_larger_than_the_storage_goes_alone() -> None:
    assert storage_hours(5, plan(3, result=10), 1) == 2 * 49 + 1


def test_storage_binds_large_vectors() -> None:
    # Half a million vectors of 39 KB fill 20 GB for two days.
    found = days_under(
        Quotas(tokens=10**12, jobs=1000, file_bytes=20 * 10**9),
        plan(200, result=5000 * 39_000, tokens=10),
        1,
    )
    assert found.binds == "file storage"
    assert 2 <= found.days < 2.2


def test_inline_jobs_need_no_storage() -> None:
    data = {"name": "a", "source": {"files": ["x"]}, "batch": {"input": "inline"}}
    quotas = Quotas.of(config_from_mapping(data, Path("/srv")).config, CAPABILITIES)
    assert quotas == Quotas(tokens=500_000, jobs=100, file_bytes=None)
    found = days_under(quotas, plan(5, tokens=10, result=10**12), 1)
    assert found.file_storage is None
    assert found.binds == "turnaround"


def test_the_quotas_of_a_configuration() -> None:
    loaded = config_from_mapping({"name": "a", "source": {"files": ["x"]}}, Path("/srv"))
    assert Quotas.of(loaded.config, CAPABILITIES) == Quotas(
        tokens=500_000, jobs=100, file_bytes=20 * 10**9
    )


def test_the_table_has_three_turnarounds() -> None:
    table = days_table(WIDE, plan(3, tokens=5))
    assert [row.turnaround_hours for row in table] == [1, 4, 24]
    assert [hours(row.days) for row in table] == [1, 4, 24]


@pytest.mark.parametrize("turnaround", [0.0, -1.0])
def test_a_turnaround_takes_time(turnaround: float) -> None:
    with pytest.raises(ValueError, match="give more than 0"):
        days_under(WIDE, plan(1), turnaround)


@given(PLANS, HOURS, QUOTA, QUOTA)
def test_more_tokens_never_take_longer(totals: PlanTotals, turn: float, a: int, b: int) -> None:
    small, large = sorted((a, b))
    less = days_under(replace(WIDE, tokens=small), totals, turn)
    more = days_under(replace(WIDE, tokens=large), totals, turn)
    assert turn / 24 <= more.enqueued_tokens <= less.enqueued_tokens
    assert more.days <= less.days


@given(PLANS, HOURS, QUOTA, QUOTA)
def test_more_jobs_never_take_longer(totals: PlanTotals, turn: float, a: int, b: int) -> None:
    small, large = sorted((a, b))
    less = days_under(replace(WIDE, jobs=small), totals, turn)
    more = days_under(replace(WIDE, jobs=large), totals, turn)
    assert turn / 24 <= more.concurrent_jobs <= less.concurrent_jobs


@given(PLANS, HOURS, QUOTA, QUOTA)
def test_more_storage_never_takes_longer(totals: PlanTotals, turn: float, a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert turn <= storage_hours(large, totals, turn) <= storage_hours(small, totals, turn)


@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 9), HOURS, st.integers(1, 60))
def test_the_storage_is_never_overdrawn(jobs: int, a: int, r: int, turn: float, quota: int) -> None:
    """Against a plain timetable that looks at every job."""
    assume(0 < a + r <= quota)
    starts: list[float] = []
    for _ in range(jobs):
        instants = {0.0, *(s + turn for s in starts), *(s + turn + 48 for s in starts)}
        for at in sorted(t for t in instants if not starts or t >= starts[-1]):
            running = sum(a + r for s in starts if at < s + turn)
            held = sum(r for s in starts if s + turn <= at < s + turn + 48)
            if running + held + a + r <= quota:
                starts.append(at)
                break
    assert len(starts) == jobs
    totals = plan(jobs, given_bytes=a, result=r)
    assert storage_hours(quota, totals, turn) == pytest.approx(starts[-1] + turn)


def test_a_long_plan_takes_what_its_byte_hours_say() -> None:
    jobs, a, r, turn, quota = 50_000, 3, 7, 4.0, 1000
    fluid = jobs * (a * turn + r * (turn + 48)) / quota
    found = storage_hours(quota, plan(jobs, given_bytes=a, result=r), turn)
    assert found == pytest.approx(fluid, rel=0.05)
