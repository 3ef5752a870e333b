from __future__ import annotations

import pytest

from reembed.bigquery.names import TableName
from reembed.bigquery.sql import (
    borders_sql,
    duplicates_sql,
    key_in,
    literal,
    merge_sql,
    partition_condition,
    result_sql,
    select_sql,
    source_sql,
    vector_index_sql,
)
from reembed.errors import UsageError

T = TableName("my-project", "data", "items")
STAGING = TableName("my-project", "data", "staging")
COLUMNS = [
    ("key", "STRING"),
    ("content_hash", "STRING"),
    ("part", "INT64"),
    ("embedding", "ARRAY<FLOAT64>"),
]


def test_a_condition_cannot_swallow_what_follows_it() -> None:
    text = borders_sql(source_sql(T, 1_700_000_000_000, "n > 1 -- all"), "key", 4)
    lines = text.splitlines()
    assert lines[-3:] == ["WHERE (", "n > 1 -- all", ")"]
    assert "FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS(1700000000000)" in text
    assert "APPROX_QUANTILES(`key`, 4)" in text


def test_now_needs_no_snapshot() -> None:
    assert source_sql(T, None) == "FROM `my-project`.`data`.`items`"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-3, "-3"),
        ("a'b\\c", "'a\\'b\\\\c'"),
        ("a\nb\r\0\x7f", "'a\\nb\\r\\u0000\\u007f'"),
        ("ü 世", "'ü 世'"),
    ],
)
def test_literals_are_escaped(value: str | int, text: str) -> None:
    assert literal(value) == text


def test_a_partition_is_bounded_on_the_sides_that_have_a_border() -> None:
    borders = ["f", "p"]
    assert partition_condition("key", borders, 0) == "`key` < 'f'"
    assert partition_condition("key", borders, 1) == "`key` >= 'f' AND `key` < 'p'"
    assert partition_condition("key", borders, 2) == "`key` >= 'p'"
    assert partition_condition("key", [], 0) == ""


def test_a_merge_reads_deleted_keys_only_where_there_are_some() -> None:
    deleted = T.sibling("deleted")
    assert deleted.sql in merge_sql(T, STAGING, COLUMNS, deleted)
    assert merge_sql(T, STAGING, COLUMNS, deleted).count("UNION ALL") == 3
    assert merge_sql(T, STAGING, COLUMNS).count("UNION ALL") == 2


def test_a_merge_has_no_subquery_where_the_service_refuses_one() -> None:
    text = merge_sql(T, STAGING, COLUMNS, T.sibling("deleted"))
    clauses = text[text.index("\nON ") :]
    assert "SELECT" not in clauses
    assert clauses.count("WHEN MATCHED") == 1
    assert "INSERT (`key`, `content_hash`, `part`, `embedding`) VALUES (S.`key`" in clauses


def test_a_merge_deletes_other_content_and_the_parts_that_come_anew() -> None:
    text = merge_sql(T, STAGING, COLUMNS)
    assert "T.`content_hash` != S.`content_hash`" in text
    assert "T.`part` = S.`part` AND T.`content_hash` = S.`content_hash`" in text
    # A marked key occurs once, or MERGE fails.
    assert "GROUP BY `key`" in text


def test_names_that_are_none_reach_no_statement() -> None:
    for bad in (
        lambda: borders_sql(source_sql(T, None), "key`) --", 4),
        lambda: duplicates_sql(source_sql(T, None), "a b", 4),
        lambda: partition_condition("a;b", ["x"], 0),
        lambda: merge_sql(T, STAGING, [*COLUMNS, ("x`", "STRING")]),
    ):
        with pytest.raises(UsageError):
            bad()


def test_a_vector_index_says_kind_and_distance() -> None:
    text = vector_index_sql(T, "embedding", "items_index", ["key"])
    assert text.splitlines() == [
        "CREATE VECTOR INDEX IF NOT EXISTS `items_index`",
        "ON `my-project.data.items`(`embedding`)",
        "STORING (`key`)",
        "OPTIONS (index_type = 'IVF', distance_type = 'COSINE')",
    ]
    with pytest.raises(ValueError, match="TREE_AH index stores no columns"):
        vector_index_sql(T, "embedding", "i", ["key"], "TREE_AH")
    with pytest.raises(ValueError, match="'HNSW' is no kind"):
        vector_index_sql(T, "embedding", "i", kind="HNSW")


def test_a_query_stands_in_brackets_without_its_semicolon() -> None:
    text = select_sql(result_sql("SELECT 1 AS a -- one;\n; \n"), ["a", "b"])
    assert text == "SELECT `a`, `b`\nFROM (\nSELECT 1 AS a -- one;\n\n)"


def test_keys_are_named_one_by_one() -> None:
    assert key_in("id", ["a'b", "c"]) == "`id` IN ('a\\'b', 'c')"
    assert key_in("id", [-1, 2]) == "`id` IN (-1, 2)"
