"""A Parquet table of made-up texts for benchmarks."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_WORDS = [f"{a}{b}" for a in ("ka", "mo", "ri", "tu", "se") for b in ("ndo", "lin", "ra", "st")]


def make_table(path: Path, rows: int, characters: int) -> None:
    """Texts of made-up words, each different."""
    schema = pa.schema([("id", pa.string()), ("body", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 10_000):
            numbers = range(start, min(rows, start + 10_000))
            texts = [_text(number, characters) for number in numbers]
            writer.write_table(pa.table([[f"doc-{n}" for n in numbers], texts], schema=schema))


def _text(number: int, characters: int) -> str:
    dice = random.Random(number)
    said = " ".join(dice.choices(_WORDS, k=characters // 4))
    return f"{number} {said}"[:characters].strip()
