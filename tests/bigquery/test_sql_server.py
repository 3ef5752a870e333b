"""The SQL that `core.bigquery_sql` writes, run on the local server where it can be had."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from reembed.bigquery.base import BigQuery, Read, Statement
from reembed.bigquery.names import TableName
from reembed.bigquery.partitions import borders_of, partition_of_keys
from reembed.bigquery.sql import (
    borders_sql,
    duplicates_sql,
    literal,
    merge_sql,
    partition_condition,
    repeated_parts_sql,
    source_sql,
)
from support.bigquery import BigQueryServer

pytestmark = pytest.mark.bigquery

COLUMNS = [
    ("key", "STRING"),
    ("content_hash", "STRING"),
    ("part", "INT64"),
    ("embedding", "ARRAY<FLOAT64>"),
    ("end", "STRING"),
]
Row = tuple[str, str, int, list[float], str | None]


def rows_of(bigquery: BigQuery, sql: str) -> list[dict[str, Any]]:
    job = bigquery.query(Statement(sql))
    return [row for batch in bigquery.results(job) for row in batch.to_pylist()]


def fill(bigquery: BigQuery, table: TableName, rows: list[Row]) -> None:
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS)
    bigquery.query(Statement(f"CREATE OR REPLACE TABLE {table.sql} ({columns})"))
    values = ", ".join(
        f"({literal(key)}, {literal(content)}, {part}, {vector}, "
        f"{'NULL' if end is None else literal(end)})"
        for key, content, part, vector, end in rows
    )
    bigquery.query(Statement(f"INSERT INTO {table.sql} VALUES {values}"))


def content(bigquery: BigQuery, table: TableName) -> list[Row]:
    names = ", ".join(f"`{name}`" for name, _ in COLUMNS)
    sql = f"SELECT {names} FROM {table.sql} ORDER BY `key`, part"
    return [
        (r["key"], r["content_hash"], r["part"], list(r["embedding"]), r["end"])
        for r in rows_of(bigquery, sql)
    ]


def test_partitions_of_string_keys_share_out_a_table(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    keys = [f"k{number:03}" for number in range(200)] + ["ü", "世", "a'b\\c", "\n", "~"]
    random.Random(7).shuffle(keys)
    values = ", ".join(f"({literal(key)})" for key in keys)
    bigquery.query(Statement(f"CREATE TABLE {name.sql} (`key` STRING)"))
    bigquery.query(Statement(f"INSERT INTO {name.sql} VALUES {values}, (NULL)"))
    (found,) = rows_of(bigquery, borders_sql(source_sql(name, None), "key", 8))
    assert (found["row_count"], found["keyless_count"]) == (206, 1)
    assert len(found["quantiles"]) == 9
    borders = borders_of(found["quantiles"])
    expected = partition_of_keys(pa.array(keys), borders).tolist()
    for partition in range(len(borders) + 1):
        condition = partition_condition("key", borders, partition)
        streams = bigquery.read_streams(name, Read(("key",), condition))
        batches = (batch for stream in streams for batch in bigquery.read_stream(stream))
        held = [key for batch in batches for key in batch["key"].to_pylist()]
        mine = [key for key, at in zip(keys, expected, strict=True) if at == partition]
        assert sorted(held) == sorted(mine)
        assert 15 <= len(mine) <= 40


def test_partitions_of_integer_keys_take_a_condition(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    numbers = "UNNEST(GENERATE_ARRAY(-50, 149)) AS n"
    bigquery.query(Statement(f"CREATE TABLE {name.sql} AS SELECT n FROM {numbers}"))
    source = source_sql(name, None, "n >= 0 -- of age")
    (found,) = rows_of(bigquery, borders_sql(source, "n", 4))
    assert (found["row_count"], found["keyless_count"]) == (150, 0)
    borders = borders_of(found["quantiles"])
    counts = [
        rows_of(bigquery, f"SELECT COUNT(*) AS c FROM {name.sql} WHERE {condition} AND n >= 0")
        for condition in (partition_condition("n", borders, partition) for partition in range(4))
    ]
    assert all(30 <= found[0]["c"] <= 45 for found in counts)
    (empty,) = rows_of(bigquery, borders_sql(source_sql(name, None, "n > 1000"), "n", 4))
    assert borders_of(empty["quantiles"] or []) == ()


def test_a_snapshot_is_what_stood_then(bigquery: BigQuery, bigquery_server: BigQueryServer) -> None:
    name = bigquery_server.table("items")
    bigquery.query(Statement(f"CREATE TABLE {name.sql} AS SELECT 'a' AS `key`"))
    clock = "SELECT UNIX_MILLIS(CURRENT_TIMESTAMP()) + 1 AS now"
    (row,) = rows_of(bigquery, clock)
    while rows_of(bigquery, clock)[0]["now"] <= row["now"] + 1:
        pass
    bigquery.query(Statement(f"INSERT INTO {name.sql} VALUES ('b')"))
    (then,) = rows_of(bigquery, borders_sql(source_sql(name, row["now"]), "key", 2))
    (now,) = rows_of(bigquery, borders_sql(source_sql(name, None), "key", 2))
    assert (then["row_count"], now["row_count"]) == (1, 2)


def test_duplicate_keys_are_counted_with_examples(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    keys = "UNNEST(['d', 'a', 'c', 'a', 'd', 'd', 'b', 'e', 'e']) AS k"
    bigquery.query(Statement(f"CREATE TABLE {name.sql} AS SELECT k FROM {keys}"))
    found = rows_of(bigquery, duplicates_sql(source_sql(name, None), "k", 2))
    assert found == [{"key": "a", "times": 2}, {"key": "d", "times": 3}]


BEFORE: list[Row] = [
    ("changed", "v1", 0, [1.0], "old"),
    ("deleted", "d", 0, [2.0], None),
    ("deleted", "d", 1, [2.0], None),
    ("kept", "k", 0, [3.0], "x"),
    ("kept", "k", 1, [3.5], None),
    ("mended", "m", 0, [3.75], "stays"),
    ("mended", "m", 1, [3.75], "goes"),
    ("shrunk", "s1", 0, [4.0], None),
    ("shrunk", "s1", 1, [4.0], None),
    ("shrunk", "s1", 2, [4.0], None),
]
STAGED: list[Row] = [
    ("changed", "v2", 0, [1.25], None),
    ("grown", "g", 0, [5.0], None),
    ("grown", "g", 1, [5.5], "end"),
    ("mended", "m", 1, [3.75], "new"),
    ("shrunk", "s2", 0, [4.5], None),
]
AFTER: list[Row] = [
    ("changed", "v2", 0, [1.25], None),
    ("grown", "g", 0, [5.0], None),
    ("grown", "g", 1, [5.5], "end"),
    ("kept", "k", 0, [3.0], "x"),
    ("kept", "k", 1, [3.5], None),
    ("mended", "m", 0, [3.75], "stays"),
    ("mended", "m", 1, [3.75], "new"),
    ("shrunk", "s2", 0, [4.5], None),
]


def test_a_merge_brings_a_table_up_to_date_once_and_again(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    staging, deleted = name.sibling("staging"), name.sibling("deleted")
    fill(bigquery, name, BEFORE)
    fill(bigquery, staging, STAGED)
    # A key that is deleted and staged stays as it is staged.
    keys = "UNNEST(['deleted', 'never there', 'changed']) AS k"
    bigquery.query(Statement(f"CREATE TABLE {deleted.sql} AS SELECT k AS `key` FROM {keys}"))
    statement = Statement(merge_sql(name, staging, COLUMNS, deleted), labels={"run": "r1"})
    assert bigquery.dry_run(statement) >= 0
    assert content(bigquery, name) == BEFORE
    done = bigquery.query(statement, f"merge-{name.dataset}")
    assert (done.inserted, done.deleted) == (5, 7)
    assert content(bigquery, name) == AFTER
    bigquery.query(statement)
    assert content(bigquery, name) == AFTER
    # The same job id is the same job: nothing runs, the old counts come back.
    assert bigquery.query(statement, f"merge-{name.dataset}").deleted == 7


def test_a_merge_without_deleted_keys_leaves_other_keys(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    staging = name.sibling("staging")
    fill(bigquery, name, BEFORE)
    fill(bigquery, staging, [*STAGED, STAGED[0]])
    found = rows_of(bigquery, repeated_parts_sql(staging, 5))
    assert found == [{"key": "changed", "part": 0, "times": 2}]
    fill(bigquery, staging, STAGED)
    assert rows_of(bigquery, repeated_parts_sql(staging, 5)) == []
    bigquery.query(Statement(merge_sql(name, staging, COLUMNS)))
    assert content(bigquery, name) == sorted([*AFTER, *BEFORE[1:3]])
