"""The ceiling: what 429s lower, for how long, and how it rises again."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.core.records import Need, ReservationLine
from reembed.machine.adaptive_quota import (
    FIRST_WAIT,
    LONGEST_PATIENCE,
    LONGEST_WAIT,
    PROBE_AFTER,
    TOO_LARGE_AFTER,
    Bound,
    Ceiling,
    likely_quota,
    lower_after_refusal,
)
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Fold, Reservations

QUOTAS = Quotas(max_usd_nano=None, jobs=100, tokens=1000, file_bytes=10_000)
JOB = Need(usd_nano=1, tokens=50, jobs=1, input_bytes=100, result_bytes=200)


def no(at, quota="tokens", need=JOB, retry_after=None, **taken):
    return ReservationLine(
        kind="refused",
        attempt="s/0",
        epoch=1,
        need=need,
        quota=quota,
        in_use=Need(**taken),
        at=at,
        retry_after=retry_after,
    )


def after(*lines):
    ceiling = Ceiling()
    for line in lines:
        ceiling = lower_after_refusal(ceiling, line)
    return ceiling


def test_what_ran_at_a_refusal_is_the_ceiling_for_everybody():
    ceiling = after(no(100.0, tokens=400, jobs=8))
    low = ceiling.apply_to(QUOTAS, 100.0)
    assert (low.tokens, low.jobs, low.file_bytes, low.job_tokens) == (400, 100, 10_000, 1000)
    low = after(no(100.0, quota="jobs", tokens=400, jobs=8)).apply_to(QUOTAS, 100.0)
    assert (low.tokens, low.jobs) == (1000, 8)
    # Nothing pauses: the next may go as soon as one of those has ended.
    assert ceiling.earliest_send(JOB) <= 100.0


def test_a_ceiling_is_probed_after_ten_minutes_and_is_gone_within_two_hours():
    ceiling = after(no(0.0, tokens=400, jobs=8))
    seen = [ceiling.apply_to(QUOTAS, step * PROBE_AFTER - 1).tokens for step in range(1, 5)]
    # Half of the refused job first: the truth lies between what ran and what it made of that.
    assert seen == [400, 425, 500, 1000]
    # What was reserved meanwhile runs.
    assert ceiling.apply_to(QUOTAS, PROBE_AFTER, Need(tokens=450)).tokens == 475
    assert ceiling.apply_to(QUOTAS, 7200.0) == replace(QUOTAS, largest_job=1000)
    one = after(no(0.0, quota="jobs", jobs=1))
    assert [one.apply_to(QUOTAS, k * PROBE_AFTER).jobs for k in range(5)] == [1, 2, 2, 2, 5]


def test_probes_that_fail_at_the_same_level_come_less_often():
    ceiling, at, waits = Ceiling(), 0.0, []
    small = replace_tokens(20)
    for _ in range(6):
        ceiling = lower_after_refusal(ceiling, no(at, need=small, tokens=400, jobs=8))
        until = at
        while ceiling.apply_to(QUOTAS, until).tokens == 400:
            until += 60.0
        waits.append(until - at)
        at = until
    assert waits == [600.0, 1200.0, 2400.0, 4800.0, 4800.0, 4800.0]
    assert LONGEST_PATIENCE == 4800.0
    # Something else happens: it is looked into soon again.
    ceiling = lower_after_refusal(ceiling, no(at, tokens=100, jobs=2))
    assert ceiling.apply_to(QUOTAS, at + PROBE_AFTER).tokens > 100


def test_while_jobs_are_coarse_each_probe_halves_what_is_not_known():
    first, second = (no(at, tokens=400, jobs=8) for at in (0.0, PROBE_AFTER))
    ceiling = lower_after_refusal(after(first), second)
    assert ceiling.apply_to(QUOTAS, 2 * PROBE_AFTER).tokens == 425
    half = no(2 * PROBE_AFTER, need=replace_tokens(24), tokens=400, jobs=8)
    assert lower_after_refusal(ceiling, half).apply_to(QUOTAS, 3 * PROBE_AFTER).tokens == 412


@pytest.mark.parametrize(
    ("tokens", "jobs", "what"), [(900, 50, "tokens"), (300, 50, "jobs"), (0, 0, "tokens")]
)
def test_a_429_is_put_down_to_the_quota_that_is_nearer(tokens, jobs, what):
    assert likely_quota(Need(tokens=tokens, jobs=jobs), JOB, QUOTAS) == what


def test_those_that_were_on_their_way_are_one_piece_of_news():
    burst = [no(100.0 + n, jobs=0) for n in range(4)]
    assert after(*burst) == after(burst[0])
    assert after(burst[0]).earliest_send(JOB) == 100.0 + FIRST_WAIT


def test_with_nothing_enqueued_the_waits_grow_and_then_the_job_is_too_large():
    ceiling, at, sizes, waits = Ceiling(), 0.0, [], []
    for _ in range(9):
        ceiling = lower_after_refusal(ceiling, no(at, need=replace_tokens(800)))
        waits.append(ceiling.earliest_send(JOB) - at)
        sizes.append(ceiling.apply_to(QUOTAS, at).job_tokens)
        at = ceiling.earliest_send(JOB)
    assert waits[:6] == [30.0, 60.0, 120.0, 240.0, 480.0, 960.0]
    assert max(waits) == LONGEST_WAIT
    # A bucket that is empty for a quarter of an hour halves the jobs once, not to dust.
    assert sizes[:6] == [1000, 1000, 400, 400, 400, 100]
    assert ceiling.apply_to(QUOTAS, at).tokens == 1000


def replace_tokens(tokens):
    return JOB.model_copy(update={"tokens": tokens})


def test_a_job_that_ended_says_that_the_service_takes_jobs():
    start = ReservationLine(kind="reserve", attempt="a/0", epoch=1, need=JOB)
    end = ReservationLine(kind="end", attempt="a/0", epoch=1)
    reservations = Reservations()
    for turn in range(3 * TOO_LARGE_AFTER):
        reservations = reservations.add(start, no(turn * 5000.0), end)
    assert reservations.ceiling.largest_job is None
    assert reservations.ceiling.refusals == 0


@pytest.mark.parametrize(("said", "waited"), [(7.0, 7.0), (0.0, 1.0), (4000.0, 4000.0)])
def test_what_the_service_says_counts_above_our_own_reckoning(said, waited):
    assert after(no(50.0, retry_after=said)).earliest_send(JOB) == 50.0 + waited
    together = after(no(50.0, retry_after=said, jobs=3, tokens=9))
    assert together.earliest_send(JOB) == 50.0 + said


def test_a_full_file_storage_holds_files_up_and_inline_jobs_not():
    ceiling = after(no(10.0, quota="file", result_bytes=3000))
    low = ceiling.apply_to(QUOTAS, 10.0)
    assert (low.file_bytes, low.tokens, low.jobs) == (3000, 1000, 100)
    assert ceiling.earliest_send(JOB) == 10.0 + FIRST_WAIT
    inline = JOB.model_copy(update={"input_bytes": 0, "result_bytes": 0})
    assert ceiling.earliest_send(inline) == 0.0
    # With nothing of ours stored it is others' files: no size is concluded, only waited.
    assert after(no(10.0, quota="file")).apply_to(QUOTAS, 10.0).file_bytes == 10_000


def test_jobs_behind_the_refused_one_do_not_count_as_taken():
    reservations = Reservations().add(
        *(ReservationLine(kind="reserve", attempt=f"{n}/0", epoch=1, need=JOB) for n in range(5))
    )
    taken = reservations.reserved_before("2/0", 0.0)
    assert (taken.jobs, taken.tokens, taken.result_bytes) == (2, 100, 600)


def test_a_job_may_go_alone_above_the_ceiling_for_the_sum():
    low = Quotas(max_usd_nano=None, jobs=9, tokens=60, file_bytes=10**6, largest_job=500)
    large = replace_tokens(500)
    assert Reservations().admission("a/0", large, low, 0.0) == "fits"
    beside = Reservations().add(ReservationLine(kind="reserve", attempt="b/0", epoch=1, need=JOB))
    assert beside.admission("a/0", large, low, 0.0) == "busy"
    assert beside.admission("a/0", replace_tokens(10), low, 0.0) == "fits"


def test_a_gap_is_what_only_a_jobs_size_leaves():
    reservations = Reservations().add(
        ReservationLine(kind="reserve", attempt="b/0", epoch=1, need=JOB)
    )
    assert reservations.unused_tokens(replace_tokens(30), replace(QUOTAS, tokens=70), 0.0) == 20
    assert (
        reservations.unused_tokens(replace_tokens(30), replace(QUOTAS, tokens=70, jobs=1), 0.0) == 0
    )
    assert (
        reservations.unused_tokens(
            replace_tokens(30), replace(QUOTAS, tokens=70, file_bytes=400), 0.0
        )
        == 0
    )


NEWS = st.builds(
    no,
    at=st.just(0.0),
    quota=st.sampled_from(["tokens", "jobs", "file"]),
    need=st.builds(Need, tokens=st.integers(1, 500), jobs=st.just(1), input_bytes=st.just(9)),
    retry_after=st.none() | st.floats(0, 3000),
    tokens=st.integers(0, 2000),
    jobs=st.integers(0, 150),
    result_bytes=st.integers(0, 20_000),
)


@given(st.lists(st.tuples(NEWS, st.floats(0, 10_000)), min_size=1, max_size=12))
def test_whatever_is_refused_something_may_be_sent_again_and_never_more_than_the_quotas(news):
    at, ceiling = 0.0, Ceiling()
    for line, later in news:
        at += later
        ceiling = lower_after_refusal(ceiling, line.model_copy(update={"at": at}))
        low = ceiling.apply_to(QUOTAS, at)
        assert 1 <= low.tokens <= QUOTAS.tokens
        assert 1 <= low.jobs <= QUOTAS.jobs
        assert 1 <= low.job_tokens <= QUOTAS.tokens
        assert 1 <= low.file_bytes <= QUOTAS.file_bytes
        assert ceiling.earliest_send(JOB) <= at + 3000.0
    at_last = ceiling.apply_to(QUOTAS, at + 3 * 86_400)
    assert replace(at_last, largest_job=at_last.job_tokens) == replace(
        QUOTAS, largest_job=QUOTAS.tokens
    )


@given(st.integers(1, 10**12), st.floats(0, 10**9), st.integers(1, 10**12))
def test_a_probe_never_passes_the_quota_and_never_falls(value, seconds, quota):
    bound = Bound(value, 0.0)
    assert min(value, quota) <= bound.probed(quota, seconds) <= quota


def test_a_fold_of_the_log_carries_the_ceiling_and_the_order_of_reservations():
    starts = [
        ReservationLine(kind="reserve", attempt=a, epoch=1, need=JOB) for a in ("b", "c", "a")
    ]
    reservations = Reservations().add(*starts, no(5.0, retry_after=2.5, tokens=400, jobs=8))
    again = Fold.decode(Fold(reservations=reservations).encode(), "folds/4").reservations
    assert again == reservations
    assert again.reserved_before("c", 0.0).jobs == 1
    assert again.reserved_before("a", 0.0).jobs == 2
    body = orjson.loads(Fold(reservations=reservations).encode())
    del body["reservations"]["ceiling"], body["reservations"]["reserved_at_line"]
    assert Fold.decode(orjson.dumps(body), "folds/4").reservations.ceiling == Ceiling()


def test_two_runners_read_one_ceiling_and_old_logs_have_none():
    line = no(5.0, tokens=400, jobs=8)
    again = ReservationLine.decode(line.encode(), "spend/1")
    assert Reservations().add(line).ceiling == Reservations().add(again).ceiling
    old = b'{"schema":2,"kind":"end","attempt":"s/0","epoch":1,"retained_until":9.0}'
    assert Reservations().add(ReservationLine.decode(old, "spend/1")).ceiling == Ceiling()
