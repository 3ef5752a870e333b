from dataclasses import asdict, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.core.plans import (
    LISTING,
    PartitionPlan,
    PlanSummary,
    PlanTotals,
    ShardPlan,
    digest_of,
    items_of,
    listing_table,
    plan_id,
    sum_totals,
)
from reembed.errors import RunFailedError
from reembed.types import Item, ItemPart, Position, Reject

ITEMS = [
    Item("a", "/c/a", Position(0), 3, "g", "md5:x"),
    Item("ü#%", "gs://b/ü#%", Position(1, 2**40), 0, "7", title="T", metadata='{"n":1}'),
    Item("t", "gs://b/m", Position(2), text="words"),
    Item("p", "gs://b/m", Position(3), parts=(ItemPart("x"), ItemPart(uri="gs://b/c"))),
    Item("r", "gs://b/m", Position(4), reject=Reject("bad_line", "no", "list")),
]


def shard(seq, fingerprint="f"):
    return ShardPlan(
        shard=f"00000000-{seq:06}",
        chunks=2,
        requests=2,
        canaries=1,
        rejects=0,
        tokens={"text": 9},
        wire_bytes=1,
        result_bytes=1,
        usd_nano=1,
        fingerprint=fingerprint,
    )


def partition(*shards):
    return PartitionPlan(partition=0, shards=shards, totals=asdict(PlanTotals(chunks=4, items=2)))


def test_a_listing_comes_back_as_it_went():
    table = listing_table(ITEMS)
    assert table.schema == LISTING
    assert items_of(table) == ITEMS
    assert items_of(listing_table([])) == []


def test_a_plan_is_named_by_configuration_and_state():
    versions = {"text": "text/1"}
    name = plan_id({"model": "m"}, versions, [b"a", b"b"])
    assert len(name) == 16
    assert name == plan_id({"model": "m"}, versions, iter([b"a", b"b"]))
    others = [
        plan_id({"model": "n"}, versions, [b"a", b"b"]),
        plan_id({"model": "m"}, versions, [b"b", b"a"]),
        plan_id({"model": "m"}, versions, [b"a"]),
        plan_id({"model": "m"}, versions, [b"c", b"b"]),
        plan_id({"model": "m"}, {**versions, "html": "html/2"}, [b"a", b"b"]),
    ]
    assert len({name, *others}) == 6


def test_the_order_of_configuration_keys_does_not_matter():
    assert plan_id({"a": 1, "b": 2}, {}, []) == plan_id({"b": 2, "a": 1}, {}, [])


def test_the_digest_pins_every_shard():
    digest = digest_of([partition(shard(0), shard(1))])
    assert digest == digest_of([partition(shard(0)), partition(shard(1))])
    assert digest != digest_of([partition(shard(0))])
    assert digest != digest_of([partition(shard(0), shard(1, "g"))])


def test_plan_records_come_back_with_their_totals():
    record = partition(shard(0))
    again = PartitionPlan.decode(record.encode(), "s")
    assert again == record
    assert again.plan_totals() == PlanTotals(chunks=4, items=2)
    summary = PlanSummary(
        plan="p",
        name="n",
        frozen={"a": [1]},
        items=2,
        totals=record.totals,
        partitions=(0,),
        digest="d",
    )
    assert PlanSummary.decode(summary.encode(), "p") == summary
    assert summary.plan_totals() == PlanTotals(chunks=4, items=2)


def test_a_summary_of_another_version_is_refused():
    summary = PlanSummary(
        plan="p", name="n", frozen={}, items=0, totals={}, partitions=(), digest="d"
    )
    data = summary.encode().replace(b'"schema":2', b'"schema":9')
    with pytest.raises(RunFailedError, match=r"plan\.json: not a PlanSummary record"):
        PlanSummary.decode(data, "plan.json")


COUNTS = st.integers(0, 10**12)
BY_NAME = st.dictionaries(st.sampled_from(["text", "audio", "pdf"]), COUNTS)
TOTALS = st.builds(
    PlanTotals,
    **{f.name: COUNTS if f.type == "int" else BY_NAME for f in fields(PlanTotals)},
)


def test_no_parts_are_zeros() -> None:
    assert sum_totals([]) == PlanTotals()


def test_every_field_is_added() -> None:
    values: dict[str, Any] = {
        f.name: 2 if f.type == "int" else {"text": 2} for f in fields(PlanTotals)
    }
    one = PlanTotals(**values)
    both = one + one
    for f in fields(PlanTotals):
        assert getattr(both, f.name) in (4, {"text": 4})
    assert both.all_tokens == 4


@given(st.lists(TOTALS, max_size=6))
def test_the_order_of_parts_does_not_matter(parts: list[PlanTotals]) -> None:
    assert sum_totals(parts) == sum_totals(reversed(parts))


@given(TOTALS, TOTALS)
def test_modalities_are_kept_apart(a: PlanTotals, b: PlanTotals) -> None:
    for name, count in (a + b).tokens.items():
        assert count == a.tokens.get(name, 0) + b.tokens.get(name, 0)
    assert (a + b).all_tokens == a.all_tokens + b.all_tokens
