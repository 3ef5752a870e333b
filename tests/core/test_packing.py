from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.config.job_limits import JobLimits
from reembed.core.canaries import canary_count, plan_canaries
from reembed.core.pack import MAX_CHUNKS, Weights, pack

WIDE = JobLimits(requests=10**9, tokens=10**9, input_bytes=10**12, result_bytes=10**12)
CHUNKS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 60), st.integers(1, 90), st.just(7)), max_size=120
)


def weights(rows, groups=None):
    table = np.array([[int(sent), *((n * sent) for n in rest)] for sent, *rest in rows], np.int64)
    alone = np.where([row[0] for row in rows], np.arange(len(rows)), -1)
    columns: Any = (*table.reshape(-1, 4).T, alone if groups is None else np.array(groups))
    return Weights(*columns)


def ones(count, tokens=1):
    return weights([(True, tokens, 1, 1)] * count)


def weigh(rows, run):
    """What a job of a run weighs at most, canaries as its heaviest request."""
    part = [row for row in rows[slice(*run)] if row[0]]
    count = len(part)
    canaries = canary_count(count)
    sums = [sum(row[k] for row in part) for k in (1, 2, 3)]
    most = [max((row[k] for row in part), default=0) for k in (1, 2, 3)]
    return [count + canaries, *(s + canaries * m for s, m in zip(sums, most, strict=True))]


@settings(deadline=None)
@given(CHUNKS, st.integers(1, 70), st.integers(1, 500), st.integers(1, 700), st.integers(7, 200))
def test_runs_cover_everything_in_order_keep_limits_and_are_greedy(rows, n, tokens, wire, result):
    limits = JobLimits(n, tokens, wire, result)
    bounds = [n, tokens, wire, result]
    runs = pack(weights(rows), limits)
    assert [at for run in runs for at in range(*run)] == list(range(len(rows)))
    for start, end in runs:
        sent = sum(row[0] for row in rows[start:end])
        fits = all(w <= b for w, b in zip(weigh(rows, (start, end)), bounds, strict=True))
        assert fits or sent == 1
        if end < len(rows):
            more = weigh(rows, (start, end + 1))
            assert any(w > b for w, b in zip(more, bounds, strict=True))


def test_packing_is_the_same_each_time_and_of_nothing_is_nothing():
    rows = [(n % 7 > 0, n % 13 + 1, n % 5 + 1, 7) for n in range(500)]
    limits = JobLimits(40, 200, 10**6, 10**6)
    assert pack(weights(rows), limits) == pack(weights(rows), limits)
    assert pack(weights([]), limits) == []


@pytest.mark.parametrize(
    ("name", "bound", "expected"),
    [
        # 16 requests and one canary; two of each limit's unit a request.
        ("requests", 17, [16, 14]),
        ("tokens", 34, [16, 14]),
        ("input_bytes", 34, [16, 14]),
        ("result_bytes", 34, [16, 14]),
    ],
)
def test_each_limit_binds_by_itself(name, bound, expected):
    rows = [(True, 2, 2, 2)] * 30
    limits = JobLimits(**{**{f: getattr(WIDE, f) for f in JobLimits.__slots__}, name: bound})
    assert [end - start for start, end in pack(weights(rows), limits)] == expected


def test_a_chunk_above_a_limit_stands_alone_with_the_rejects_after_it():
    rows = [(True, 1, 1, 1), (True, 99, 1, 1), (False, 0, 0, 0), (True, 1, 1, 1)]
    limits = JobLimits(10, 50, 10**6, 10**6)
    assert pack(weights(rows), limits) == [(0, 1), (1, 3), (3, 4)]


def test_a_job_of_one_request_has_no_canary_and_may_fill_its_limit():
    limits = JobLimits(10, 50, 10**6, 10**6)
    assert pack(ones(2, tokens=50), limits) == [(0, 1), (1, 2)]
    # Two requests and their canary are three.
    assert pack(ones(2, tokens=17), limits) == [(0, 1), (1, 2)]
    assert pack(ones(2, tokens=16), limits) == [(0, 2)]


def test_rejects_send_nothing_but_stay_in_shards_that_can_be_read():
    rows = [(False, 0, 0, 0)] * (MAX_CHUNKS + 10)
    assert pack(weights(rows), JobLimits(1, 1, 1, 1)) == [
        (0, MAX_CHUNKS),
        (MAX_CHUNKS, MAX_CHUNKS + 10),
    ]


@given(st.integers(0, 2000))
def test_packing_counts_the_canaries_that_are_planned(requests):
    assert canary_count(requests) == len(plan_canaries(requests))


def test_columns_of_different_lengths_are_refused():
    column = np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="columns of one length"):
        Weights(column, column, column, column[:2], column)
    with pytest.raises(ValueError, match="one length"):
        Weights(column, column, column, column, column[:2])


def test_what_asks_for_the_same_weighs_once_a_job():
    limits = JobLimits(**{**{f: getattr(WIDE, f) for f in JobLimits.__slots__}, "tokens": 6})
    rows = [(True, 2, 1, 1)] * 8
    # Two requests and the canary fill a job; what repeats them comes along for nothing.
    assert pack(weights(rows, [0, 1, 0, 1, 0, 2, 0, 0]), limits) == [(0, 5), (5, 8)]
    assert pack(weights(rows, [0] * 8), limits) == [(0, 8)]
    assert pack(weights(rows), limits) == [(0, 2), (2, 4), (4, 6), (6, 8)]
