"""Rows of a table become items in the order of their keys, read at one moment, whoever reads."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pyarrow as pa
import pytest

from reembed.bigquery.base import BigQuery
from reembed.bigquery.client import open_bigquery_client
from reembed.bigquery.names import TableName
from reembed.bigquery.source import open_bigquery
from reembed.bigquery.source_reader import TableReader
from reembed.bigquery.sql import select_sql, source_sql
from reembed.config.load import config_from_mapping
from reembed.config.source import BigQuerySource
from reembed.core.names import PARTITION_ITEMS
from reembed.errors import BigQueryDeniedError, BigQueryError, StatementRefusedError, UsageError
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import open_run_dir
from reembed.sources.base import Block, Prepared, Source
from reembed.storage.listing import sample_digest
from reembed.storage.local import LocalStorage
from reembed.types import Item, ItemPart, Position
from support.tables import MemoryTables

NAME = "proj-1.data.items"
PLAN = "p"
Open = Callable[..., Source]


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


@pytest.fixture
def opened(tmp_path: Path, tables: MemoryTables) -> Open:
    def open_(sample: int | None = None, **options: Any) -> Source:
        origin = {} if "query" in options else {"table": NAME}
        source = {"bigquery": {"key": "id", **origin, **options}, "sample": sample}
        loaded = config_from_mapping({"name": "t", "source": source}, tmp_path)
        return open_bigquery(loaded, LocalStorage(), lambda _: cast(BigQuery, tables))

    return open_


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[[Source], Prepared]:
    return lambda source: source.prepare(open_run_dir(str(tmp_path / "run")), PLAN)


@pytest.fixture
def items_of(prepared: Callable[[Source], Prepared]) -> Callable[[Source], list[Item]]:
    """All items, in the order that their partitions and positions say."""

    def read(source: Source) -> list[Item]:
        ready = prepared(source)
        blocks = blocks_of(ready)
        assert sum(len(block.items) for block in blocks) == ready.items
        placed = [(block.partition, item) for block in blocks for item in block.items]
        return [item for _, item in sorted(placed, key=lambda p: (p[0], p[1].position))]

    return read


def blocks_of(ready: Prepared) -> list[Block]:
    return [b for span in ready.spans for b in ready.reader.read(LocalStorage(), span)]


def codes(items: Sequence[Item]) -> list[str | None]:
    return [item.reject.code if item.reject else None for item in items]


def test_integers_are_their_own_places(opened: Open, tables: MemoryTables, items_of: Any) -> None:
    tables.put(NAME, id=[7, -3, 10**15], b=["x", "y", "z"])
    found = items_of(opened(text="b"))
    assert [(item.key, item.text) for item in found] == [
        ("-3", "y"),
        ("7", "x"),
        (str(10**15), "z"),
    ]
    assert [item.position for item in found] == [Position(0, n) for n in (-3, 7, 10**15)]
    moment = tables.reads[-1].snapshot_ms
    assert {(item.uri, item.generation) for item in found} == {(NAME, str(moment))}


@pytest.mark.parametrize("text", [True, False])
def test_a_large_table_is_parted_at_borders(
    opened: Open, tables: MemoryTables, prepared: Any, text: bool
) -> None:
    count = 2 * PARTITION_ITEMS + 100
    numbers = [n * 7919 % count for n in range(count)]
    keys: list[Any] = [f"k{n:06}" for n in numbers] if text else numbers
    tables.put(NAME, id=keys, b=["x"] * count)
    ready = prepared(opened(text="b"))
    blocks = blocks_of(ready)
    assert sum(len(block.items) for block in blocks) == ready.items == count
    assert {block.ranked for block in blocks} == {text}
    sort: Any = str if text else int
    partitions = [
        sorted(
            sort(item.key)
            for block in blocks
            if block.partition == partition
            for item in block.items
        )
        for partition in range(3)
    ]
    assert [key for partition in partitions for key in partition] == sorted(keys)
    assert all(13_000 < len(partition) < 14_000 for partition in partitions)
    assert max(len(block.items) for block in blocks) == 1024
    # The clock, then one look at the keys.
    assert len(tables.asked) == 2


def test_a_small_table_has_no_borders(opened: Open, tables: MemoryTables, prepared: Any) -> None:
    tables.put(NAME, id=["b", "a"], b=["x", "y"])
    ready = prepared(opened(text="b"))
    [one, two] = blocks_of(ready)
    assert {one.partition, two.partition} == {0}
    assert {item.position for item in one.items + two.items} == {Position(0, 0)}


def test_rows_that_the_table_does_not_count_yet_are_shared_out(
    opened: Open, tables: MemoryTables, prepared: Any
) -> None:
    tables.conditions["id >= 0"] = lambda row: row["id"] >= 0
    tables.put(NAME, id=list(range(-10, PARTITION_ITEMS + 1)), b=["x"] * (PARTITION_ITEMS + 11))
    ready = prepared(opened(text="b", where="id >= 0"))
    assert ready.items == PARTITION_ITEMS + 1
    assert {block.partition for block in blocks_of(ready)} == {0, 1}
    assert len(tables.asked) == 3


def test_rows_without_key_or_text_are_rejects(
    opened: Open, tables: MemoryTables, items_of: Any
) -> None:
    tables.put(NAME, id=["a", None, "c", "", None], b=["x", "y", None, "z", "w"])
    found = items_of(opened(text="b"))
    assert codes(found) == [None, "no_content", "no_key", "no_key", "no_key"]
    assert [item.key for item in found] == ["a", "c", *(f"{NAME}#{n}" for n in range(3))]
    assert found[2].reject is not None
    assert "no key in column 'id'" in found[2].reject.message


def test_a_table_without_any_key(opened: Open, tables: MemoryTables, items_of: Any) -> None:
    tables.put(NAME, id=pa.array([None] * (PARTITION_ITEMS + 1), pa.int64()), b=["x"] * 20_001)
    found = items_of(opened(text="b"))
    assert set(codes(found)) == {"no_key"}
    assert len({item.key for item in found}) == len(found) == PARTITION_ITEMS + 1


def test_an_empty_table(opened: Open, tables: MemoryTables, prepared: Any) -> None:
    tables.put(NAME, id=pa.array([], pa.string()), b=pa.array([], pa.string()))
    ready = prepared(opened(text="b"))
    assert (ready.items, ready.spans) == (0, ())


def test_titles_parts_and_metadata_of_any_type(
    opened: Open, tables: MemoryTables, items_of: Any
) -> None:
    when = pa.array([datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)], pa.timestamp("us", "UTC"))
    parts: list[Any] = [[{"text": "words", "uri": None}, {"text": None, "uri": "gs://b/p.png"}]]
    tables.put(NAME, Id=["a"], p=parts, T=["Title"], w=when, n=[1.5], many=pa.array([[1, 2]]))
    [item] = items_of(opened(parts="P", title="t", metadata=["w", "N", "many"]))
    assert (item.key, item.title) == ("a", "Title")
    assert item.parts == (ItemPart("words"), ItemPart(uri="gs://b/p.png"))
    expected = {"w": "2026-01-02T00:00:00+00:00", "n": 1.5, "many": [1, 2]}
    assert orjson.loads(item.metadata) == expected
    assert tables.reads[-1].columns == ("Id", "p", "T", "w", "n", "many")


def test_a_text_of_five_megabytes(opened: Open, tables: MemoryTables, items_of: Any) -> None:
    tables.put(NAME, id=["a"], b=["word " * 1_000_000])
    [item] = items_of(opened(text="b"))
    assert len(item.text) == 5_000_000


def test_what_waits_for_its_partition_is_bounded(
    opened: Open, tables: MemoryTables, prepared: Any
) -> None:
    tables.streams = 1
    tables.put(NAME, id=list(range(900)), b=["x" * 150_000] * 900)
    sizes = [len(block.items) for block in blocks_of(prepared(opened(text="b")))]
    assert sizes == [600, 300]


def test_a_stream_gives_the_same_items_again(
    opened: Open, tables: MemoryTables, prepared: Any
) -> None:
    tables.put(NAME, id=["a", None, "c"], b=["x", "y", "z"])
    ready = prepared(opened(text="b"))
    assert blocks_of(ready) == blocks_of(ready)


def test_the_moment_stays_when_a_plan_is_taken_up_again(
    opened: Open, tables: MemoryTables, items_of: Any
) -> None:
    tables.put(NAME, id=["a", "b"], b=["x", "y"])
    source = opened(text="b")
    first = items_of(source)
    asked = len(tables.asked)
    tables.put(NAME, id=["c"], b=["z"])
    assert items_of(source) == first
    assert len(tables.asked) == asked
    assert tables.reads[0] == tables.reads[1]


def test_a_plan_whose_moment_is_out_of_reach(
    opened: Open, tables: MemoryTables, prepared: Any, tmp_path: Path
) -> None:
    tables.put(NAME, id=["a"], b=["x"])
    source = opened(text="b")
    prepared(source)
    tables.fails["read_streams"] = StatementRefusedError(f"{NAME}: invalid snapshot")
    with pytest.raises(UsageError, match=r"as of 1970-.* remove .*/plans/p and run again"):
        prepared(source)


def test_the_same_state_has_the_same_name(opened: Open, tables: MemoryTables) -> None:
    def name(**options: Any) -> bytes:
        return b"".join(opened(text="b", **options).identity())

    tables.put(NAME, id=["a"], b=["x"])
    before = name()
    tables.now += 5000
    assert name() == before  # whatever the etag
    tables.put(NAME, id=["a"], b=["y"])
    assert name() != before


def test_a_condition_leaves_rows_out(opened: Open, tables: MemoryTables, items_of: Any) -> None:
    tables.conditions["n > 1 -- not all"] = lambda row: row["n"] > 1
    tables.put(NAME, id=["a", "b", None], b=["x", "y", "z"], n=[1, 2, 3])
    found = items_of(opened(text="b", where="n > 1 -- not all"))
    assert [item.key for item in found] == ["b", f"{NAME}#0"]
    assert tables.reads[-1].where == "(\nn > 1 -- not all\n)"
    assert tables.reads[-1].columns == ("id", "b")


@pytest.mark.parametrize("text", [True, False])
def test_a_sample_is_the_same_keys_and_a_larger_one_holds_it(
    opened: Open, tables: MemoryTables, items_of: Any, tmp_path: Path, text: bool
) -> None:
    keys: list[Any] = [f"k'{n}" if text else n for n in range(5000)]
    tables.put(NAME, id=[*keys, None], b=["x"] * 5001)
    chosen = {}
    for count in (9, 40):
        chosen[count] = {item.key for item in items_of(opened(sample=count, text="b"))}
        # The reading itself is held to them.
        assert " IN (" in tables.reads[-1].where
        Path(Layout(str(tmp_path / "run")).snapshot(PLAN)).unlink()
    expected = sorted((str(key) for key in keys), key=sample_digest)
    assert chosen == {count: set(expected[:count]) for count in (9, 40)}
    assert len(items_of(opened(sample=6000, text="b"))) == 5000


def test_a_sample_counts_keys_that_came_twice(
    opened: Open, tables: MemoryTables, items_of: Any
) -> None:
    tables.put(NAME, id=["a", "b", "a", "b", "c"], b=["x"] * 5)
    found = items_of(opened(sample=2, text="b"))
    taken = sorted("abc", key=sample_digest)[:2]
    assert sorted(i.key for i in found) == sorted(k for k in "aabbc" if k in taken)


def test_a_large_sample_has_partitions_of_its_own(
    opened: Open, tables: MemoryTables, prepared: Any
) -> None:
    count = PARTITION_ITEMS + 300
    tables.put(NAME, id=[f"a key of some length {n:06}" for n in range(count)], b=["x"] * count)
    ready = prepared(opened(sample=PARTITION_ITEMS + 5, text="b"))
    sizes = [0, 0]
    for block in blocks_of(ready):
        sizes[block.partition] += len(block.items)
    assert sizes == [PARTITION_ITEMS, 5]
    # Too many keys to name them: the reader leaves the others out.
    assert tables.reads[-1].where == ""


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "nope"}, r"no column 'nope'; it has id, b, n, l"),
        ({"text": "n"}, "column 'n' is FLOAT64; give a column of STRING"),
        ({"text": "l"}, "column 'l' is ARRAY<STRING>; give a column of STRING"),
        ({"text": "b", "title": "n"}, "column 'n' is FLOAT64; give a column of STRING"),
        ({"text": "b", "key": "n"}, "column 'n' is FLOAT64; give a column of STRING or INT64"),
        ({"parts": "n"}, "column 'n' is FLOAT64; give a column of ARRAY<STRUCT<text"),
        ({"parts": "l"}, "column 'l' is ARRAY<STRING>; give a column of ARRAY<STRUCT<text"),
        ({"text": "b", "metadata": ["gone"]}, "no column 'gone'"),
    ],
)
def test_columns_that_cannot_be_read(
    opened: Open, tables: MemoryTables, columns: dict[str, Any], message: str
) -> None:
    tables.put(NAME, id=["a"], b=["x"], n=[1.5], l=[["x"]])
    with pytest.raises(UsageError, match=f"^{NAME}.*{message}"):
        opened(**columns)
    assert tables.asked == []


def test_a_table_that_is_not_there(opened: Open) -> None:
    with pytest.raises(UsageError, match=f"{NAME} is not there; check source.bigquery.table"):
        opened(text="b")


@pytest.mark.parametrize("method", ["table", "query", "read_streams"])
def test_a_missing_permission_names_the_table(
    opened: Open, tables: MemoryTables, prepared: Any, method: str
) -> None:
    tables.put(NAME, id=["a"], b=["x"])
    tables.fails[method] = BigQueryDeniedError("cannot do it; grant the account a role")
    with pytest.raises(UsageError, match=f"{NAME}: cannot do it; grant the account a role"):
        prepared(opened(text="b"))


def test_silence_is_no_mistake_of_the_user(opened: Open, tables: MemoryTables) -> None:
    tables.fails["table"] = BigQueryError("no answer")
    with pytest.raises(BigQueryError, match="no answer"):
        opened(text="b")


def test_a_query_is_run_once_and_its_result_read(
    opened: Open, tables: MemoryTables, items_of: Any
) -> None:
    query = "SELECT id, b, 1 AS unused FROM x;\n"
    statement = "SELECT `id`, `b`\nFROM (\nSELECT id, b, 1 AS unused FROM x\n)"
    tables.selected[statement] = "proj-1._anon.r1"
    tables.put("proj-1._anon.r1", id=["b", "a", None], b=["x", "y", "z"])
    source = opened(query=query, text="b", project="proj-1")
    assert tables.asked == []  # opening it costs nothing
    assert "a query of 0.0 MB" in source.describe()
    names = {b"".join(source.identity()) for _ in range(2)}
    assert len(names) == 1
    assert tables.asked == [statement]
    found = items_of(source)
    assert {item.uri[:6] for item in found} == {"query:"}
    assert sorted(codes(found), key=str) == [None, None, "no_key"]
    assert tables.reads[-1].snapshot_ms is None


def test_a_query_that_lacks_a_column_is_refused_by_its_estimate(
    opened: Open, tables: MemoryTables
) -> None:
    tables.fails["dry_run"] = StatementRefusedError("query: Unrecognized name: b")
    with pytest.raises(UsageError, match=r"query:[0-9a-f]{16}: query: Unrecognized name: b"):
        opened(query="SELECT 1 AS id", text="b", project="proj-1")


def test_a_query_whose_column_has_another_type(opened: Open, tables: MemoryTables) -> None:
    tables.selected["SELECT `id`, `b`\nFROM (\nSELECT 1\n)"] = "proj-1._anon.r1"
    tables.put("proj-1._anon.r1", id=["b"], b=[1.5])
    with pytest.raises(UsageError, match="column 'b' is FLOAT64"):
        list(opened(query="SELECT 1", text="b", project="proj-1").identity())


def test_a_query_needs_somebody_who_pays(
    opened: Open, tables: MemoryTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with pytest.raises(UsageError, match=r"give source\.bigquery\.project"):
        opened(query="SELECT 1", text="b")


def test_a_view_is_read_by_a_query(opened: Open, tables: MemoryTables, items_of: Any) -> None:
    tables.put(NAME, id=["a"], b=["x"])
    tables.kinds[NAME] = "VIEW"
    source = source_sql(TableName(*NAME.split(".")), None, "n > 1")
    tables.selected[select_sql(source, ["id", "b"])] = "proj-1._anon.r1"
    tables.put("proj-1._anon.r1", id=["a"], b=["x"])
    [item] = items_of(opened(text="b", where="n > 1"))
    assert (item.key, item.uri) == ("a", NAME)
    assert tables.reads[-1].where == ""


def test_who_looks_is_told_rows_and_dollars(opened: Open, tables: MemoryTables) -> None:
    tables.put(NAME, id=["a"], b=["x"])
    tables.bytes_billed = 2**40
    description = opened(text="b").describe()
    assert description == f"1 rows in {NAME}, 1,099,511.6 MB to read; about $7.3500 at BigQuery"
    assert "before its condition" in opened(text="b", where="n > 1").describe()


def test_a_reader_of_the_real_client_travels_to_another_process() -> None:
    reader = TableReader(
        open_bigquery_client("proj-1"),
        TableName("proj-1", "data", "items"),
        b"schema",
        BigQuerySource(table=NAME, key="id", text="b"),
        (NAME, "1"),
        ("m",),
        b"most",
    )
    again = pickle.loads(pickle.dumps(reader))
    assert replace(again, bigquery=reader.bigquery) == reader
    assert type(again.bigquery) is type(reader.bigquery)
