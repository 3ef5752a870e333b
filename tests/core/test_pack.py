from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.config.job_limits import JobLimits
from reembed.config.schema import Config
from reembed.core.canaries import canary_count, plan_canaries
from reembed.core.manifest import manifest_of
from reembed.core.pack import (
    MAX_CHUNKS,
    Weights,
    need_of_requests,
    pack,
    pack_partition,
    rank_by_key,
    refuse_unsendable,
    totals_of,
)
from reembed.core.plans import PlanTotals
from reembed.core.price import price
from reembed.providers.gemini.requests import result_line_bytes
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.types import Chunk, Position, Reject

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


def config(**batch):
    raw = {"name": "t", "source": {"files": ["*"]}, "model": {"dimensions": 128}, "batch": batch}
    return Config.model_validate(raw)


def chunk(index, tokens=24, reject=None, part=0, **changes):
    fields = {
        "key": f"k{index:04}",
        "uri": f"/c/{index}",
        "position": Position(index),
        "part": part,
        "parts": part + 1,
        "modality": "text",
        "mime_type": "text/plain",
        "tokens": tokens,
        "input_bytes": 20,
        "generation": "1",
        "source_hash": f"s{index}",
        "content_hash": f"c{index}",
        "chunker": "text/1",
        "text": None if reject else f"text of {index}",
        "reject": Reject(reject, "as it is", "chunk") if reject else None,
    }
    return Chunk(**{**fields, **changes})


def packed(chunks, **batch):
    conf = config(**batch)
    table = manifest_of(chunks, GeminiWire.of(conf))
    return list(pack_partition(table, 3, packing_of(conf)))


def test_shards_are_numbered_cut_and_counted():
    chunks = [chunk(n, reject="empty" if n % 10 == 4 else None) for n in range(40)]
    shards = packed(chunks, max_requests=17)
    plans = [shard.plan for shard in shards]
    assert [plan.shard for plan in plans] == [f"00000003-{n:06}" for n in range(3)]
    assert [plan.requests for plan in plans] == [16, 16, 4]
    assert [plan.canaries for plan in plans] == [1, 1, 1]
    assert sum(plan.chunks for plan in plans) == 40
    assert sum(plan.rejects for plan in plans) == 4
    for shard in shards:
        ordinals = [n for n in shard.manifest.column("request").to_pylist() if n is not None]
        assert ordinals == list(range(shard.plan.requests))
        assert shard.plan.result_bytes == (shard.plan.requests + 1) * result_line_bytes(128)
        assert shard.plan.tokens == {"text": 24 * (shard.plan.requests + 1)}


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(30)))
def test_the_order_of_arrival_changes_nothing(order):
    chunks = [chunk(n // 2, part=n % 2) for n in range(30)]
    expected = packed(chunks, max_requests=9)
    shuffled = packed([chunks[n] for n in order], max_requests=9)
    assert [s.plan for s in shuffled] == [s.plan for s in expected]
    assert all(a.manifest.equals(b.manifest) for a, b in zip(shuffled, expected, strict=True))


def test_the_price_includes_canaries_by_their_twins_modality():
    chunks = [chunk(n, modality="image" if n == 5 else "text", tokens=100) for n in range(10)]
    plan = packed(chunks)[0].plan
    # The one canary of ten requests repeats request 5.
    assert plan.tokens == {"image": 200, "text": 900}
    assert plan.usd_nano == price(plan.tokens, config().model.spec()).batch_usd_nano
    assert plan.total_tokens == 1100


def test_no_shard_is_above_the_limits_of_its_job():
    chunks = [chunk(n, tokens=100 + n) for n in range(200)]
    conf = config(max_tokens=2000)
    for shard in pack_partition(manifest_of(chunks, GeminiWire.of(conf)), 0, packing_of(conf)):
        assert shard.plan.total_tokens <= 2000
        assert shard.plan.canaries == canary_count(shard.plan.requests)


def test_what_no_job_can_hold_is_a_reject_that_names_both_numbers():
    chunks = [
        chunk(0),
        chunk(1, tokens=10_001),
        chunk(2, tokens=10_001, reject="empty"),
        chunk(3, tokens=10_000),
    ]
    shards = packed(chunks, enqueued_tokens=10_000)
    rows = pa.concat_tables([shard.manifest for shard in shards]).to_pylist()
    assert [row["reject_code"] for row in rows] == [None, "over_quota", "empty", None]
    assert "10001 tokens, and batch.enqueued_tokens allows 10000" in rows[1]["reject_message"]
    # A reject keeps its own reason.
    assert (rows[2]["reject_message"], rows[2]["reject_stage"]) == ("as it is", "chunk")
    assert all(shard.plan.total_tokens <= 10_000 for shard in shards)


def test_nothing_to_refuse_leaves_the_table_as_it_is():
    conf = config()
    table = manifest_of([chunk(0)], GeminiWire.of(conf))
    assert refuse_unsendable(table, packing_of(conf)) is table


def test_totals_add_up_and_count_notes_once_an_item():
    noted = {"notes": ("video_with_sound",), "modality": "video"}
    same = [chunk(0, part=0, **noted), chunk(0, part=1, text="a", **noted)]
    shards = packed([*same, chunk(1), chunk(2, reject="x"), chunk(3)], max_requests=2)
    totals = totals_of(shards, items=4)
    assert totals.items == 4
    assert (totals.chunks, totals.requests, totals.rejects) == (5, 4, 1)
    assert totals.notes == {"video_with_sound": 1}
    assert totals.shards == len(shards)
    assert totals.jobs == sum(1 for shard in shards if shard.plan.requests)
    assert totals.all_tokens == sum(shard.plan.total_tokens for shard in shards)
    assert totals_of([], items=0) == PlanTotals()


def test_a_partition_of_nothing_has_no_shard():
    assert packed([]) == []


@pytest.mark.parametrize("change", [{"task": "clustering"}, {"dimensions": 256}])
def test_model_and_task_are_in_the_fingerprint(change):
    one = config()
    two = one.model_copy(update={"model": one.model.model_copy(update=change)})
    table = manifest_of([chunk(0)], GeminiWire.of(one))
    first = next(pack_partition(table, 0, packing_of(one)))
    second = next(pack_partition(table, 0, packing_of(two)))
    assert first.plan.fingerprint != second.plan.fingerprint
    assert pc.all(pc.equal(first.manifest.column("key"), second.manifest.column("key"))).as_py()


def test_equal_chunks_of_a_shard_are_paid_once():
    chunks = [chunk(n, text=f"text of {n % 2}", tokens=10 + n % 2) for n in range(6)]
    [shard] = packed([*chunks, chunk(9, reject="x")])
    plan, totals = shard.plan, totals_of([shard], items=7)
    assert (plan.chunks, plan.requests, plan.shared, plan.rejects) == (7, 2, 4, 1)
    assert shard.manifest.column("request").to_pylist() == [0, 1, 0, 1, 0, 1, None]
    # Two requests and one canary, which repeats the second.
    assert (plan.canaries, plan.total_tokens) == (1, 10 + 11 + 11)
    assert (totals.shared, totals.shared_tokens) == (4, {"text": 10 + 11 + 10 + 11})
    need = need_of_requests(shard.manifest, packing_of(config()))
    assert need([1]).tokens == 11


@settings(deadline=None)
@given(st.lists(st.text(max_size=3), min_size=1, max_size=30), st.randoms())
def test_ranks_are_dense_and_count_every_key(keys, chance):
    kept = [key for key in keys if chance.random() < 0.5]
    chunks = [chunk(0, key=key, part=part) for key in kept for part in (0, 1)]
    table = manifest_of(chunks, GeminiWire.of(config()))
    ranked = rank_by_key(table, pa.chunked_array([keys[:9], keys[9:]], pa.string()))
    order = sorted(set(keys))
    found = ranked.column("offset").to_pylist()
    assert found == [order.index(key) for key in kept for _ in (0, 1)]
    assert ranked.schema == table.schema


def test_ranks_go_by_code_points_not_by_halves_of_them():
    keys = ["\U0001f41d", "\uffff", "z", "ü"]
    table = manifest_of([chunk(0, key=key) for key in keys], GeminiWire.of(config()))
    ranked = rank_by_key(table, pa.chunked_array([keys]))
    assert ranked.column("offset").to_pylist() == [3, 2, 0, 1]
