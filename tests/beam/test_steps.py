"""The steps of the plan, one by one and wired, on files of a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reembed.beam.blocks import ChunkBatch, from_bytes, to_bytes
from reembed.beam.chunk_items import Chunking, ChunkItems, read_and_chunk
from reembed.beam.drive_shards import DealLanes, LaneSpec
from reembed.beam.pack_shards import PackShards, pack_shards
from reembed.beam.read_items import ReadItems
from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.names import shard_id
from reembed.core.plans import PartitionPlan
from reembed.core.schema import MANIFEST
from reembed.errors import AlreadyExistsError
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.sources.base import BLOCK_ITEMS, Block
from reembed.sources.files import ListingSource
from reembed.storage.content import ContentReader
from reembed.storage.local import LocalStorage
from reembed.types import Item, Position, Reject

MakeItem = Callable[..., Item]
RunSteps = Callable[..., list[Any]]
PLAN = "plan-1"


def test_a_table_comes_back_from_its_bytes(config: Config, item: MakeItem) -> None:
    policy, options = ChunkPolicy.of(config), GeminiWire.of(config)
    chunked = read_and_chunk(ContentReader(LocalStorage()), item(0, b"Some words."), policy)
    table = manifest_of(chunked.chunks, options)
    again = from_bytes(to_bytes(table))
    assert again.equals(table)
    assert again.schema.equals(MANIFEST)


def test_a_file_that_vanished_or_changed_since_the_listing(config: Config, item: MakeItem) -> None:
    policy, storage = ChunkPolicy.of(config), LocalStorage()
    gone, changed = item(0, b"words"), item(1, b"words")
    Path(gone.uri).unlink()
    Path(changed.uri).write_bytes(b"other words")
    for listed in (gone, changed):
        [chunk] = read_and_chunk(ContentReader(storage), listed, policy).chunks
        assert chunk.reject is not None
        assert (chunk.reject.code, chunk.reject.stage) == ("source_changed", "read")
        assert listed.uri in chunk.reject.message
        assert (chunk.key, chunk.part, chunk.parts, chunk.tokens) == (listed.key, 0, 1, 0)


def test_a_file_that_cannot_be_read(config: Config, item: MakeItem, tmp_path: Path) -> None:
    listed = item(0, b"words")
    Path(listed.uri).unlink()
    Path(listed.uri).mkdir()
    [chunk] = read_and_chunk(ContentReader(LocalStorage()), listed, ChunkPolicy.of(config)).chunks
    assert chunk.reject is not None
    assert chunk.reject.code in ("source_changed", "source_unreadable")


def test_chunk_items_makes_one_small_element_a_block(
    config: Config, run_dir: RunDir, item: MakeItem, run_steps: RunSteps, corpus_png: bytes
) -> None:
    blocks = [
        Block(0, (item(0, b"Some words."), item(1, corpus_png, "noise.png"))),
        Block(1, (item(20_000, b""), item(20_001, b"<html><body><p>Read me.</p></body></html>"))),
    ]
    step = ChunkItems(Chunking.of(config, run_dir), PLAN)
    out = dict(run_steps(blocks, step))
    assert set(out) == {0, 1}
    assert all(isinstance(batch, ChunkBatch) and batch.items == 2 for batch in out.values())
    # The picture's bytes stay where they are: only its specification travels.
    assert len(corpus_png) > 300_000
    assert len(out[0].chunks) < 20_000
    first = from_bytes(out[0].chunks).to_pylist()
    assert [row["modality"] for row in first] == ["text", "image"]
    assert [row["text"] for row in first] == ["Some words.", None]
    assert first[1]["recipe"]
    second = from_bytes(out[1].chunks).to_pylist()
    assert [row["reject_code"] for row in second] == ["empty_file", None]
    digest = second[1]["source_hash"]
    extracted = Path(run_dir.layout.extracted(digest)).read_text()
    start, end = int(second[1]["start"]), int(second[1]["end"])
    assert extracted[start:end] == second[1]["text"]
    assert "Read me." in extracted


@pytest.fixture
def corpus_png() -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((600, 600), 90).save(out, "PNG")
    return out.getvalue()


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


def test_lanes_are_dealt_once_each(run_steps: RunSteps) -> None:
    import apache_beam as beam
    from apache_beam.testing.test_pipeline import TestPipeline
    from apache_beam.testing.util import assert_that, equal_to

    with TestPipeline(runner="FnApiRunner") as pipeline:
        lanes = pipeline | DealLanes(3)
        assert_that(lanes, equal_to([LaneSpec(number, 3) for number in range(3)]))
    assert isinstance(DealLanes(1), beam.PTransform)


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


@pytest.mark.parametrize("lanes", [0, -2])
def test_no_lanes_are_refused_when_the_step_is_made(lanes: int) -> None:
    with pytest.raises(ValueError, match=f"{lanes} lanes: give 1 or more"):
        DealLanes(lanes)


def test_an_extracted_text_that_is_there_already_is_kept(
    config: Config, run_dir: RunDir, item: MakeItem, run_steps: RunSteps
) -> None:
    page = b"<html><body><p>The same page.</p></body></html>"
    block = Block(0, (item(0, page, "a.html"), item(1, page, "b.html")))
    step = ChunkItems(Chunking.of(config, run_dir), PLAN)
    [(_, batch)] = run_steps([block], step)
    digests = set(from_bytes(batch.chunks).column("source_hash").to_pylist())
    assert len(digests) == 1
    with pytest.raises(AlreadyExistsError):
        LocalStorage().create(run_dir.layout.extracted(digests.pop()), b"")
