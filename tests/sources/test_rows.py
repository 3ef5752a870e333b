"""A row becomes an item: its key, content, title, metadata and place; or a reject that says why."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from reembed.config.source import Columns
from reembed.errors import UsageError
from reembed.sources.rows import (
    check_columns,
    items_of_rows,
    parts_of,
    resolve_item,
    sample_digest,
)
from reembed.sources.uris import Resolver
from reembed.types import Item, ItemPart, Position


def items(columns: Columns, most: bytes | None = None, **data: Any) -> list[Item]:
    batch = pa.RecordBatch.from_pydict(data)
    positions = [Position(0, n) for n in range(batch.num_rows)]
    return items_of_rows(batch, columns, ("/t.parquet", "g1"), positions, most)


def test_a_text_keeps_the_files_place_and_a_uri_is_its_own() -> None:
    [text] = items(Columns(key="k", text="t"), k=["a"], t=["words"])
    assert (text.text, text.uri, text.generation) == ("words", "/t.parquet", "g1")
    [uri] = items(Columns(key="k", uri="u"), k=["a"], u=["./x.png"])
    assert (uri.uri, uri.generation, uri.text) == ("./x.png", "", None)


def test_data_in_a_column_is_named_by_its_row() -> None:
    [item] = items(Columns(key="k", uri="u"), k=["a"], u=["data:text/plain,hi"])
    assert (item.data, item.uri) == ("data:text/plain,hi", "/t.parquet#0.0")


@pytest.mark.parametrize(
    ("key", "content", "code"),
    [(None, "x", "no_key"), ("", "x", "no_key"), ("a", None, "no_content")],
)
def test_a_row_that_lacks_something_is_a_reject_with_a_name(
    key: str | None, content: str | None, code: str
) -> None:
    columns = Columns(key="k", text="t")
    made = items(columns, k=pa.array([key], pa.string()), t=pa.array([content], pa.string()))
    assert made[0].reject is not None
    assert made[0].reject.code == code
    assert made[0].key == (key or "/t.parquet#0.0")


def test_parts_are_read_from_lists_and_from_json() -> None:
    columns = Columns(key="k", parts="p")
    listed = [{"text": "a", "uri": None}, {"text": None, "uri": "./b.png"}]
    parts = (ItemPart(text="a"), ItemPart(uri="./b.png"))
    assert items(columns, k=["a"], p=[listed])[0].parts == parts
    assert items(columns, k=["a"], p=[orjson.dumps(listed).decode()])[0].parts == parts
    [bad] = items(columns, k=["a"], p=["[]"])
    assert bad.reject is not None
    assert bad.reject.code == "bad_parts"


@pytest.mark.parametrize(
    "value", [[], "text", [{}], [{"text": "a", "uri": "b"}], [{"text": ""}], [{"other": "a"}], [5]]
)
def test_what_is_no_list_of_parts(value: Any) -> None:
    with pytest.raises(ValueError, match=r"part \d|give a list"):
        parts_of(value)


def test_metadata_are_one_json_object_whatever_their_types() -> None:
    columns = Columns(key="k", text="t", title="t", metadata=("d", "n", "b"))
    data: dict[str, Any] = {
        "d": [datetime.date(2026, 11, 20)],
        "n": [decimal.Decimal("1.50")],
        "b": [b"\x01"],
    }
    [item] = items(columns, k=["a"], t=["words"], **data)
    assert orjson.loads(item.metadata or "") == {"d": "2026-11-20", "n": "1.50", "b": "01"}
    assert item.title == "words"


def test_a_larger_sample_has_every_smaller_one() -> None:
    columns, keys = Columns(key="k", text="t"), [f"k{n}" for n in range(20)]
    digests = sorted(sample_digest(key) for key in keys)
    small, large = (
        {item.key for item in items(columns, digests[count - 1], k=keys, t=keys)}
        for count in (3, 9)
    )
    assert (len(small), len(large)) == (3, 9)
    assert small < large


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"k": pa.string()}, "has no column 't'; it has k"),
        ({"k": pa.float64(), "t": pa.string()}, "'k' is double; give a column of text or integers"),
        ({"k": pa.int64(), "t": pa.binary()}, "'t' is binary; give a column of text"),
    ],
)
def test_columns_that_cannot_be_read_are_named(schema: dict[str, pa.DataType], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_columns(pa.schema(schema), Columns(key="k", text="t"), "a.parquet")


def test_a_uri_that_may_not_be_read_makes_its_item_a_reject() -> None:
    resolver = Resolver("/base", https=False)
    item = Item("k", "./x.png", Position(0))
    assert resolve_item(item, resolver).uri == "/base/x.png"
    refused = resolve_item(Item("k", "https://a.example/x", Position(0)), resolver)
    assert refused.reject is not None
    text = Item("k", "./x.png", Position(0), text="words")
    assert resolve_item(text, resolver) is text
