"""Plan of a table: partitions in key order whoever reads, doubled keys refused, engines held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from reembed.beam.chunk_items import Chunking, ChunkItems
from reembed.beam.engine import beam_options, engine
from reembed.beam.pack_shards import PackShards
from reembed.beam.read_items import ReadItems
from reembed.beam.run_plan import KeyChecks, Planning, build_plan
from reembed.bigquery.base import BigQuery
from reembed.bigquery.source import open_bigquery
from reembed.config.load import ResolvedConfig
from reembed.config.schema import Config
from reembed.core.names import PARTITION_ITEMS
from reembed.errors import UsageError
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.providers.open import packing_of
from reembed.runs.existing import read_findings
from reembed.sources.base import BLOCK_ITEMS
from reembed.sources.files import ListingSource
from reembed.types import Item
from support.tables import MemoryTables

MakeItem = Callable[..., Item]
RunSteps = Callable[..., list[Any]]
PLAN = "plan-1"

Load = Callable[..., ResolvedConfig]
NAME = "proj-1.data.items"


def planned(loaded: ResolvedConfig, tables: MemoryTables) -> list[dict[str, Any]]:
    """Run the plan pipeline over a table; the rows of its manifests in the order of shards."""
    run_dir = open_run_dir(loaded.config.run_dir)
    source = open_bigquery(loaded, run_dir.storage, lambda _: cast(BigQuery, tables))
    prepared = source.prepare(run_dir, "p")
    planning = Planning(loaded.config, run_dir, "p", prepared, wanted=KeyChecks(True, False))
    with engine(beam_options(())) as pipeline:
        build_plan(pipeline, planning)
    read_findings(run_dir, "p")
    shards = sorted(Path(run_dir.layout.plan_dir("p"), "shards").glob("*.parquet"))
    rows = [row for shard in shards for row in pq.read_table(shard).to_pylist()]
    assert len(rows) == prepared.items
    return rows


def table_source(load: Load, **said: Any) -> ResolvedConfig:
    bigquery = {"table": NAME, "key": "id", "text": "b", **said}
    return load(source={"bigquery": bigquery}, batch={"max_requests": 9000})


def test_rows_of_text_keys_are_ranked(load: Load) -> None:
    count = 300
    tables = MemoryTables()
    keys = [f"k{n * 77 % count:03}" for n in range(count)]
    tables.put(NAME, id=[*keys, None], b=[*(f"Text of {key}." for key in keys), "lost"])
    *rows, last = planned(table_source(load), tables)
    assert [row["key"] for row in rows] == sorted(keys)
    assert [(row["source_index"], row["offset"]) for row in rows] == [(0, n) for n in range(count)]
    assert all(row["text"] == f"Text of {row['key']}." for row in rows)
    assert (last["key"], last["reject_code"]) == (f"{NAME}#0", "no_key")


def test_integers_beyond_a_partition_are_in_their_order(load: Load) -> None:
    count = PARTITION_ITEMS + 200
    tables = MemoryTables()
    keys = [n * 7919 % count - 500 for n in range(count)]
    tables.put(NAME, id=keys, b=[f"t {n % 50}" for n in range(count)])
    rows = planned(table_source(load), tables)
    assert [int(row["key"]) for row in rows] == sorted(keys)
    assert [(row["source_index"], row["offset"]) for row in rows] == [(0, k) for k in sorted(keys)]


def test_keys_that_came_twice_are_refused_with_examples(load: Load) -> None:
    tables = MemoryTables()
    tables.put(NAME, id=["a", "b", "a", None, None], b=["x", "y", "z", "v", "w"])
    with pytest.raises(UsageError, match=r"1 keys came more than once.*'a' \(2 times\)"):
        planned(table_source(load), tables)


def test_the_wired_steps_plan_every_partition(
    config: Config, run_dir: RunDir, item: MakeItem, run_steps: RunSteps
) -> None:
    items = [item(index, f"Text {index}.".encode()) for index in range(BLOCK_ITEMS + 6)]
    prepared = ListingSource(items).prepare(run_dir, PLAN)
    steps = (
        ReadItems(prepared.reader)
        | ChunkItems(Chunking.of(config, run_dir), PLAN)
        | PackShards(run_dir, PLAN, packing_of(config))
    )
    [record] = run_steps(list(prepared.spans), steps)
    assert record.plan_totals().items == record.plan_totals().chunks == len(items)
    assert sum(plan.chunks for plan in record.shards) == len(items)
