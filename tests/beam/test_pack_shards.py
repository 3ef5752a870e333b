"""Shards of a partition: in input order and the same bytes, whatever order blocks came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reembed.beam.blocks import ChunkBatch, from_bytes, to_bytes
from reembed.beam.chunk_items import Chunking, ChunkItems, read_and_chunk
from reembed.beam.pack_shards import pack_shards
from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.names import shard_id
from reembed.core.plans import PartitionPlan
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.sources.base import Block
from reembed.storage.content import ContentReader
from reembed.storage.local import LocalStorage
from reembed.types import Item, Position, Reject

MakeItem = Callable[..., Item]
RunSteps = Callable[..., list[Any]]
PLAN = "plan-1"


def _batch(config: Config, items: list[Item]) -> ChunkBatch:
    policy, options = ChunkPolicy.of(config), GeminiWire.of(config)
    chunked = [read_and_chunk(ContentReader(LocalStorage()), each, policy) for each in items]
    chunks = [chunk for one in chunked for chunk in one.chunks]
    return ChunkBatch(len(items), to_bytes(manifest_of(chunks, options)))


def test_pack_shards_writes_manifests_in_input_order_whatever_order_came(
    config: Config, run_dir: RunDir, item: MakeItem
) -> None:
    items = [item(index, f"Words number {index}.".encode()) for index in range(20)]
    batches = [_batch(config, items[start : start + 5]) for start in (10, 0, 15, 5)]
    record = pack_shards(run_dir, PLAN, 0, batches, packing_of(config))
    names = [plan.shard for plan in record.shards]
    assert names == [shard_id(0, seq) for seq in range(len(names))]
    assert len(names) > 1
    keys = [
        row["key"]
        for name in names
        for row in pq.read_table(run_dir.layout.manifest(PLAN, name)).to_pylist()
    ]
    assert keys == [each.key for each in items]
    assert record.plan_totals().items == 20
    written = Path(run_dir.layout.partition(PLAN, 0)).read_bytes()
    assert PartitionPlan.decode(written, "partition") == record


def test_packing_again_writes_the_same_bytes(
    config: Config, run_dir: RunDir, item: MakeItem, tmp_path: Path
) -> None:
    items = [item(index, f"Words number {index}.".encode()) for index in range(12)]
    other = open_run_dir(str(tmp_path / "other"))
    for place, starts in ((run_dir, (0, 6)), (other, (6, 0))):
        batches = [_batch(config, items[start : start + 6]) for start in starts]
        pack_shards(place, PLAN, 0, batches, packing_of(config))
    one, two = (sorted(Path(p.layout.plan_dir(PLAN)).rglob("*.*")) for p in (run_dir, other))
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def _ranked(config: Config, run_dir: RunDir, items: list[Item], held: bool) -> ChunkBatch:
    """A block's batch as `ChunkItems` makes it; where something is held, every third chunk is."""
    step = ChunkItems(Chunking.of(config, run_dir), PLAN)
    dofn = step._chunk
    dofn.setup()
    [(_, batch)] = dofn.process(Block(2, tuple(items), ranked=True))
    if not held:
        return batch
    table = from_bytes(batch.chunks)
    kept = [n for n in range(table.num_rows) if n % 3]
    return replace(batch, chunks=to_bytes(table.take(kept)), skipped=table.num_rows - len(kept))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_ranks_count_keys_that_are_held_in_whatever_order_blocks_came(
    config: Config, run_dir: RunDir, held: bool, order: tuple[int, ...]
) -> None:
    names = [f"key {n * 37 % 40:02}" for n in range(40)]
    items = [Item(n, "p.d.t", Position(2), text=f"Text of {n}.") for n in names]
    blocks = [_ranked(config, run_dir, items[at * 10 : at * 10 + 10], held) for at in order]
    # A row without a key has a place of its own, and no rank.
    reject = Reject("no_key", "none", "read")
    keyless = Item("p.d.t#0", "p.d.t", Position(9, 5), reject=reject)
    record = pack_shards(run_dir, PLAN, 2, [*blocks, _batch(config, [keyless])], packing_of(config))
    rows = [
        row
        for plan in record.shards
        for row in pq.read_table(run_dir.layout.manifest(PLAN, plan.shard)).to_pylist()
    ]
    *ranked, last = rows
    assert (last["key"], last["source_index"], last["offset"]) == ("p.d.t#0", 9, 5)
    assert len(ranked) == (24 if held else 40)
    assert [row["key"] for row in ranked] == sorted(row["key"] for row in ranked)
    assert all(row["offset"] == int(row["key"][4:]) for row in ranked)
    assert record.plan_totals().items == 41
