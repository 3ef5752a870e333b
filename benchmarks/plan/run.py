"""Measure the plan of a Parquet table of texts against the same calls in a plain loop."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.core.chunk import chunk_text_item
from reembed.core.manifest import manifest_of
from reembed.core.pack import pack_partition
from reembed.formats.policy import ChunkPolicy
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.runs.plan import make_plan
from reembed.sources.parquet import open_parquet
from reembed.storage.open import open_storage
from reembed.types import Chunk, Item, Position
from sides import Stopwatch, compare, interleave, keep, run_side, table
from texts import make_table

_PARTITION = 20_000


def main() -> None:
    options = _options()
    if options.side:
        _SIDES[options.side](options.folder)
        return
    with tempfile.TemporaryDirectory(prefix="plan-", dir=options.folder) as name:
        folder = Path(name)
        make_table(folder / "table.parquet", options.rows, options.characters)

        def run(side: str) -> dict[str, float]:
            return run_side([__file__, "--side", side, "--folder", name])

        measured = interleave(list(_SIDES), options.rounds, run)
    table(measured, "texts")
    what = f"plan, texts of {options.characters:,} characters, against the same calls without Beam"
    marks = [compare(measured, "plan", "bare", what, "≥ 0.5 ×")]
    compare(measured, "plan", "cut", "plan against cutting alone, nothing packed or written", "")
    keep(marks, options.marks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--characters", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    parser.add_argument("--marks", type=Path, help="a file for the ratios")
    parser.add_argument("--side", choices=list(_SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


def loaded(folder: Path) -> ResolvedConfig:
    """A configuration over the table."""
    run_dir = tempfile.mkdtemp(prefix="run-", dir=folder)
    source = {"parquet": {"files": ["table.parquet"], "key": "id", "text": "body"}}
    data = {"name": "plan", "run_dir": run_dir, "source": source}
    return config_from_mapping(orjson.loads(orjson.dumps(data)), folder)


def _plan(folder: Path) -> None:
    config = loaded(folder)
    # What is imported when it is first needed is imported now.
    open_parquet(config, open_storage())
    watch = Stopwatch()
    totals = make_plan(config).plan_totals()
    watch.report(totals.requests, shards=totals.shards)


def _bare(folder: Path) -> None:
    """Read, cut, pack and write manifests in one loop."""
    config = loaded(folder).config
    policy, wire = ChunkPolicy.of(config), GeminiWire.of(config)
    packing = packing_of(config)
    out, requests, shards = Path(config.run_dir), 0, 0
    watch = Stopwatch()
    for number, chunks in enumerate(_partitions(folder, policy)):
        for shard in pack_partition(manifest_of(chunks, wire), number, packing):
            pq.write_table(shard.manifest, out / f"{shard.plan.shard}.parquet", compression="zstd")
            requests, shards = requests + shard.plan.requests, shards + 1
    watch.report(requests, shards=shards)


def _partitions(folder: Path, policy: ChunkPolicy) -> Iterator[list[Chunk]]:
    chunks: list[Chunk] = []
    for position, item in enumerate(_items(folder)):
        if position and position % _PARTITION == 0:
            yield chunks
            chunks = []
        chunks.extend(chunk_text_item(item, item.text or "", policy).chunks)
    yield chunks


def _items(folder: Path) -> Iterator[Item]:
    position = 0
    for batch in pq.ParquetFile(folder / "table.parquet").iter_batches(batch_size=8192):
        keys, texts = (column.to_pylist() for column in batch.columns)
        for key, text in zip(keys, texts, strict=True):
            yield Item(key, "table.parquet", Position(position), text=text)
            position += 1


def _cut(folder: Path) -> None:
    """Read and cut, and keep nothing."""
    policy, count = ChunkPolicy.of(loaded(folder).config), 0
    watch = Stopwatch()
    for item in _items(folder):
        count += len(chunk_text_item(item, item.text or "", policy).chunks)
    watch.report(count)


_SIDES: dict[str, Callable[[Path], None]] = {"bare": _bare, "cut": _cut, "plan": _plan}

if __name__ == "__main__":
    main()
