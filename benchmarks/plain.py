"""Result lines into one Parquet file as a plain loop does it: no order, no join, no checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simdjson

_ROWS = 1024
_SCHEMA = pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32()))])


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream into its lines."""
    rest = b""
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest += first
        for other in others:
            yield rest
            rest = other
    if rest:
        yield rest


def write_vectors(answers: Iterable[bytes], dimensions: int, part: Path) -> int:
    """Parse result lines, normalise their vectors and write them; returns how many."""
    matrix, keys, count = np.empty((_ROWS, dimensions), np.float32), list[str](), 0
    parser = simdjson.Parser()
    with pq.ParquetWriter(
        part,
        _SCHEMA,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=["embedding.list.element"],
        write_statistics=False,
    ) as writer:
        for line in answers:
            answer = parser.parse(line)
            values = answer["response"]["embedding"]["values"].as_buffer(of_type="d")
            matrix[len(keys)] = np.frombuffer(values)
            keys.append(answer["key"])
            # The parser is used again only when nothing refers to its document.
            del answer
            if len(keys) == _ROWS:
                writer.write_table(_block(keys, matrix))
                count, keys = count + len(keys), []
        if keys:
            writer.write_table(_block(keys, matrix[: len(keys)]))
    return count + len(keys)


def _block(keys: list[str], matrix: np.ndarray) -> pa.Table:
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    count, dimensions = matrix.shape
    offsets = np.arange(0, (count + 1) * dimensions, dimensions, dtype=np.int32)
    vectors = pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)))
    return pa.table([pa.array(keys), vectors], schema=_SCHEMA)
