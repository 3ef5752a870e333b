"""A snapshot of a table: its moment, its rows, and the borders of its partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from reembed.bigquery.base import BigQuery
from reembed.bigquery.names import TableName
from reembed.bigquery.snapshot import Keys, take_snapshot
from reembed.core.names import PARTITION_ITEMS
from support.tables import MemoryTables

T = TableName("proj-1", "data", "items")


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


def keys_of(tables: MemoryTables) -> Keys:
    table = tables.table(T)
    assert table is not None
    return Keys(cast(BigQuery, tables), table, "id", "", "EU", changes=True)


def test_rows_are_counted_with_those_that_have_no_key(tables: MemoryTables) -> None:
    tables.put(str(T), id=["a", None, "", "b"])
    snapshot = take_snapshot(keys_of(tables), None)
    assert (snapshot.items, snapshot.keyless, snapshot.borders) == (4, 2, ())
    assert snapshot.moment is not None


def test_what_cannot_change_has_no_moment(tables: MemoryTables) -> None:
    tables.put(str(T), id=["a"])
    assert take_snapshot(replace(keys_of(tables), changes=False), None).moment is None


def test_many_rows_are_cut_at_their_own_keys(tables: MemoryTables) -> None:
    tables.put(str(T), id=list(range(2 * PARTITION_ITEMS + 1)))
    borders = take_snapshot(keys_of(tables), None).borders
    assert len(borders) == 2
    assert list(borders) == sorted(borders)


def test_a_sample_has_the_smallest_digests_and_survives_its_record(tables: MemoryTables) -> None:
    tables.put(str(T), id=[f"k{n}" for n in range(50)])
    small, large = (take_snapshot(keys_of(tables), count) for count in (3, 10))
    assert (small.items, large.items) == (3, 10)
    assert small.most < large.most
    kept = [part.strip("'\"") for part in small.only.split("(")[1].rstrip(")").split(", ")]
    assert all(key in large.only for key in kept)
    assert type(small).decode(small.encode(), "snapshot.json") == small
