from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.bigquery.partitions import borders_of, partition_of_keys

TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
NUMBERS = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=20), st.sets(TEXTS, max_size=6))
def test_strings_fall_between_their_borders(keys: list[str], cuts: set[str]) -> None:
    borders = sorted(cuts)
    partitions = partition_of_keys(pa.array(keys, pa.string()), borders)
    assert partitions.dtype == "int64"
    assert partitions.tolist() == [sum(border <= key for border in borders) for key in keys]
    # The service compares bytes of UTF-8.
    bytewise = [sum(b.encode() <= key.encode() for b in borders) for key in keys]
    assert partitions.tolist() == bytewise


@settings(deadline=None)
@given(st.lists(NUMBERS, max_size=20), st.sets(NUMBERS, max_size=6))
def test_integers_fall_between_their_borders(keys: list[int], cuts: set[int]) -> None:
    borders = sorted(cuts)
    partitions = partition_of_keys(pa.array(keys, pa.int64()), borders)
    assert partitions.tolist() == [sum(border <= key for border in borders) for key in keys]


def test_a_trailing_nul_makes_another_key() -> None:
    keys = pa.array(["a", "a\0", "b"])
    assert partition_of_keys(keys, ["a\0"]).tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.int32()])
def test_other_widths_are_taken(kind: pa.DataType) -> None:
    texts = pa.types.is_large_string(kind)
    keys, borders = (["a", "c"], ["b"]) if texts else ([1, 3], [2])
    assert partition_of_keys(pa.array(keys, kind), borders).tolist() == [0, 1]


def test_a_null_and_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="position 1 is NULL"):
        partition_of_keys(pa.array(["a", None]), ["b"])
    with pytest.raises(ValueError, match="keys are double"):
        partition_of_keys(pa.array([1.5]), [])


def test_borders_rise_strictly_and_leave_no_partition_empty_below() -> None:
    assert borders_of(["a", "a", "c", "c", "f", "z"]) == ("c", "f")
    assert borders_of([1, 1, 1]) == ()
    assert borders_of([]) == ()
    assert borders_of([0, 5, 9]) == (5,)
