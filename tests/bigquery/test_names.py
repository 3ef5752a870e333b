from __future__ import annotations

import pytest

from reembed.bigquery.names import TableName, check_job_id, parse_table, quoted
from reembed.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my-project.data.items", TableName("my-project", "data", "items")),
        ("example.com:pro-ject.d_1.t-2", TableName("example.com:pro-ject", "d_1", "t-2")),
        ("my-project.data.Köpfe 2", TableName("my-project", "data", "Köpfe 2")),
    ],
)
def test_a_full_name_is_parsed_and_is_its_own_text(text: str, name: TableName) -> None:
    assert parse_table(text) == name
    assert str(name) == text


def test_a_short_name_takes_the_project_given() -> None:
    assert parse_table("data.items", "my-project") == TableName("my-project", "data", "items")
    with pytest.raises(UsageError, match=r"write project\.dataset\.table"):
        parse_table("data.items")


@pytest.mark.parametrize(
    "text",
    [
        "items",
        "my-project.data.",
        "my-project.data.items`; DROP TABLE x; --",
        "my-project.data.it`ems",
        "my-project.data.it\\ems",
        "my-project.data.items\n",
        "my-project.data.items ",
        "my-project.da-ta.items",
        "my`project.data.items",
        "MY-PROJECT.data.items",
        "my-project.data.items$20260101",
        "my-project.data.items@-1",
        "my-project.data." + "x" * 1025,
    ],
)
def test_what_is_no_name_is_refused_and_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_table(text, "my-project")
    assert repr(text) in str(caught.value)


def test_sql_quotes_each_part() -> None:
    name = parse_table("my-project.data.items")
    assert name.sql == "`my-project`.`data`.`items`"
    assert name.sibling("next").sql == "`my-project`.`data`.`next`"
    with pytest.raises(UsageError):
        name.sibling("a`b")


def test_keywords_are_columns_when_quoted() -> None:
    assert [quoted(name) for name in ("key", "end", "_a1")] == ["`key`", "`end`", "`_a1`"]


@pytest.mark.parametrize(
    "column", ["", "1a", "a`b", "a b", "a.b", "a\n", "ü", "x" * 301, "_TABLE_x", "_partitiontime"]
)
def test_what_is_no_column_is_refused(column: str) -> None:
    with pytest.raises(UsageError, match="cannot be a column"):
        quoted(column)


def test_a_job_id_holds_only_what_bigquery_takes() -> None:
    assert check_job_id("reembed-r1_load-0") == "reembed-r1_load-0"
    for bad in ("", "a/b", "a b", "a\n", "ä", "x" * 1025):
        with pytest.raises(UsageError, match="cannot be a job's id"):
            check_job_id(bad)
