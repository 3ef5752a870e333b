"""Measure planning a Parquet table, its skip set, and a run with nothing to do; no service."""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.config.schema import Config
from reembed.core.chunk import chunk_text_item
from reembed.core.existing import ExistingRows, index_of
from reembed.core.rows import embedding_array
from reembed.core.schema import ROW
from reembed.destinations.parquet import ParquetParts
from reembed.destinations.parts import write_part
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.plan import make_plan
from reembed.types import Item, Position

_BATCH = 8192
_CHARACTERS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dir", help="where the table and the plans go; a temporary one if none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="increments-", dir=options.dir) as folder:
        place = Path(folder)
        _make_table(place / "table.parquet", options.rows)
        _say("step                         seconds    rows/s   peak MB  said")
        for name, step in (
            ("bare loop, no Beam, no files", _bare),
            ("plan of everything", _plan),
            ("skip set", _skip_set),
            ("plan with nothing to do", _nothing),
        ):
            if name == "skip set":
                _alone(_fill, place)
            seconds, peak, said = _alone(step, place)
            _say(f"{name:28} {seconds:7.1f} {options.rows / seconds:9,.0f} {peak:9,.0f}  {said}")


def _alone(step: Callable[[Path], str], place: Path) -> tuple[float, float, str]:
    """Run a step in a process of its own: seconds, its peak memory in MB, what it said."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (step, place))


def _timed(step: Callable[[Path], str], place: Path) -> tuple[float, float, str]:
    began = time.perf_counter()
    said = step(place)
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, said


def _bare(place: Path) -> str:
    """Read and cut every row with the same calls, and keep nothing."""
    policy, chunks = ChunkPolicy.of(_loaded(place, "bare").config), 0
    for batch in pq.ParquetFile(place / "table.parquet").iter_batches(batch_size=_BATCH):
        keys, texts = (column.to_pylist() for column in batch.columns)
        for key, text in zip(keys, texts, strict=True):
            item = Item(key, "table", Position(0), text=text)
            chunks += len(chunk_text_item(item, text, policy).chunks)
    return f"{chunks:,} chunks"


def _plan(place: Path) -> str:
    totals = make_plan(_loaded(place, "fresh")).plan_totals()
    return f"{totals.requests:,} requests in {totals.shards:,} shards"


def _fill(place: Path) -> str:
    """Make the destination that a run of the whole table would leave, of 8 dimensions."""
    config = _loaded(place, "night").config
    folder = Path(config.run_dir) / "vectors"
    folder.mkdir(parents=True)
    for number, rows in enumerate(_rows(place, config)):
        write_part(folder / f"part-0001-{number:08}-000000.parquet", [rows], {})
    return ""


def _rows(place: Path, config: Config) -> Iterator[pa.RecordBatch]:
    policy, index = ChunkPolicy.of(config), 0
    for batch in pq.ParquetFile(place / "table.parquet").iter_batches(batch_size=20_000):
        keys, texts = (column.to_pylist() for column in batch.columns)
        hashes = [
            chunk_text_item(Item(k, "t", Position(0), text=t), t, policy).chunks[0].content_hash
            for k, t in zip(keys, texts, strict=True)
        ]
        count = len(keys)
        made: dict[str, Any] = {
            "key": pa.array(keys),
            "content_hash": pa.array(hashes),
            "source_index": pa.array(range(index, index + count)),
            "embedding": embedding_array(np.ones((count, 8), np.float32)),
        }
        columns = [made.get(field.name, _constant(field, count)) for field in ROW]
        yield pa.RecordBatch.from_arrays(
            [c.cast(f.type) for c, f in zip(columns, ROW, strict=True)], schema=ROW
        )
        index += count


def _constant(field: pa.Field, count: int) -> pa.Array:
    if field.nullable:
        return pa.nulls(count, field.type)
    values = {pa.string(): "x", pa.int64(): 0, pa.int32(): 0}
    value = datetime(2026, 1, 1, tzinfo=UTC) if field.name == "embedded_at" else None
    return pa.repeat(pa.scalar(values.get(field.type, value), field.type), count)


def _skip_set(place: Path) -> str:
    config = _loaded(place, "night").config
    parts = ParquetParts(config, open_run_dir(config.run_dir))
    held = ExistingRows.of(index_of(parts.existing()))
    return f"{len(held):,} rows held, {held.index.nbytes / 1e6:,.0f} MB of index"


def _nothing(place: Path) -> str:
    totals = make_plan(_loaded(place, "night")).plan_totals()
    return f"{totals.jobs} jobs, {totals.skipped:,} chunks skipped"


def _loaded(place: Path, name: str) -> ResolvedConfig:
    source = {"parquet": {"files": ["table.parquet"], "key": "id", "text": "body"}}
    data = {"name": name, "run_dir": f"./{name}", "source": source}
    return config_from_mapping(orjson.loads(orjson.dumps(data)), place)


def _make_table(path: Path, rows: int) -> None:
    """Texts of 500 characters of made-up words, each different."""
    words = [f"{a}{b}" for a in ("ka", "mo", "ri", "tu", "se") for b in ("ndo", "lin", "ra", "st")]
    schema = pa.schema([("id", pa.string()), ("body", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 50_000):
            numbers = range(start, min(rows, start + 50_000))
            texts = []
            for number in numbers:
                dice = random.Random(number)
                said = " ".join(dice.choices(words, k=110))
                texts.append(f"{number} {said}"[:_CHARACTERS].strip())
            writer.write_table(pa.table([[f"doc-{n}" for n in numbers], texts], schema=schema))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
