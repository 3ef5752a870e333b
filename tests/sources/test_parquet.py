"""Rows of Parquet files become items in their order, whatever the row groups; bad ones, rejects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.config.load import config_from_mapping
from reembed.core.names import PARTITION_ITEMS
from reembed.errors import ObjectNotFoundError, UsageError
from reembed.ledger.run_dir import open_run_dir
from reembed.sources.base import Source
from reembed.sources.open import open_source
from reembed.sources.parquet import ParquetRows
from reembed.sources.rows import UriRows
from reembed.storage.local import LocalStorage
from reembed.types import Item, ItemPart, Position

Open = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def open_(sample: int | None = None, **columns: Any) -> Source:
        parquet = {"files": ["*.parquet"], "key": "id", **columns}
        data = {"name": "t", "source": {"parquet": parquet, "sample": sample}}
        loaded = config_from_mapping(data, tmp_path)
        source = open_source(loaded, LocalStorage())
        assert isinstance(source, ParquetRows | UriRows)
        return source

    return open_


def items_of(source: Source, tmp_path: Path) -> list[Item]:
    prepared = source.prepare(open_run_dir(str(tmp_path / "run")), "p")
    blocks = [b for span in prepared.spans for b in prepared.reader.read(LocalStorage(), span)]
    for block in blocks:
        assert {item.position.index // PARTITION_ITEMS for item in block.items} == {block.partition}
    items = [item for block in blocks for item in block.items]
    assert len(items) == prepared.items
    return items


def write(path: Path, rows: int = 0, **columns: Any) -> None:
    pq.write_table(pa.table(columns), path, row_group_size=rows or None)


def test_rows_are_numbered_over_all_files(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", id=["x"], body=["last"], extra=[1])
    count = PARTITION_ITEMS + 50
    keys = [f"k{n}" for n in range(count)]
    write(tmp_path / "a.parquet", 7000, id=keys, body=[f"text {n}" for n in range(count)])
    source = opened(text="body")
    items = items_of(source, tmp_path)
    assert [item.key for item in items] == [*keys, "x"]
    assert [item.position for item in items] == [Position(n) for n in range(count + 1)]
    assert (items[3].text, items[-1].text) == ("text 3", "last")
    assert items[0].uri == str(tmp_path / "a.parquet")
    assert items[0].generation == LocalStorage().stat(items[0].uri).generation
    assert source.describe() == "20,051 rows in 2 Parquet files"


def test_title_metadata_and_keys_of_integers(opened: Open, tmp_path: Path) -> None:
    when = pa.array([0, None], pa.timestamp("ms"))
    write(tmp_path / "a.parquet", id=[7, 8], t=["A", None], b=["x", "y"], n=[1.5, None], w=when)
    one, two = items_of(opened(text="b", title="t", metadata=["n", "w"]), tmp_path)
    assert (one.key, one.title, one.metadata) == ("7", "A", '{"n":1.5,"w":"1970-01-01T00:00:00"}')
    assert (two.key, two.title, two.metadata) == ("8", None, '{"n":null,"w":null}')


def test_rows_without_key_or_content_are_rejects(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", id=["a", None, "c", ""], b=["x", "y", None, "z"])
    found = items_of(opened(text="b"), tmp_path)
    codes = [item.reject.code if item.reject else None for item in found]
    assert codes == [None, "no_key", "no_content", "no_key"]
    assert found[1].key == f"{tmp_path}/a.parquet#1.0"
    assert len({item.key for item in found}) == 4


@pytest.mark.parametrize("as_json", [False, True])
def test_parts_of_lists_or_of_json(opened: Open, tmp_path: Path, as_json: bool) -> None:
    parts: list[Any] = [
        [{"text": "a caption", "uri": None}, {"text": None, "uri": "gs://b/p.png"}],
        [{"text": "a", "uri": "b"}],
        [],
    ]
    if as_json:
        import orjson

        parts = [orjson.dumps(one).decode() for one in parts]
    write(tmp_path / "a.parquet", id=["a", "b", "c"], p=parts)
    one, two, three = items_of(opened(parts="p"), tmp_path)
    assert one.parts == (ItemPart("a caption"), ItemPart(uri="gs://b/p.png"))
    for item in (two, three):
        assert item.reject is not None
        assert item.reject.code == "bad_parts"


def test_a_sample_is_the_same_keys_and_a_larger_one_holds_it(opened: Open, tmp_path: Path) -> None:
    keys = [f"k{n}" for n in range(500)]
    write(tmp_path / "a.parquet", 64, id=keys, b=["x"] * 500)
    small = {item.key for item in items_of(opened(sample=9, text="b"), tmp_path)}
    large = items_of(opened(sample=40, text="b"), tmp_path)
    assert (len(small), len(large)) == (9, 40)
    assert small <= {item.key for item in large}
    assert all(item.key == f"k{item.position.index}" for item in large)
    assert len(items_of(opened(sample=900, text="b"), tmp_path)) == 500


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "nope"}, "no column 'nope'; it has id, b, n"),
        ({"text": "n"}, "column 'n' is double; give a column of text"),
        ({"text": "b", "title": "n"}, "column 'n' is double; give a column of text"),
        ({"text": "b", "key": "n"}, "column 'n' is double; give a column of text or integers"),
        ({"parts": "n"}, "column 'n' is double; give a column of lists"),
    ],
)
def test_columns_that_cannot_be_read(
    opened: Open, tmp_path: Path, columns: dict, message: str
) -> None:
    write(tmp_path / "a.parquet", id=["a"], b=["x"], n=[1.5])
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        opened(**columns)


def test_a_file_that_is_none(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("id,b\n1,2\n")
    with pytest.raises(UsageError, match=r"a\.parquet is not a Parquet file"):
        opened(text="b")


def test_a_file_that_changed_after_it_was_listed(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", id=["a"], b=["x"])
    source = opened(text="b")
    write(tmp_path / "a.parquet", id=["a", "b"], b=["x", "y"])
    assert b"".join(opened(text="b").identity()) != b"".join(source.identity())
    with pytest.raises(ObjectNotFoundError):
        items_of(source, tmp_path)
