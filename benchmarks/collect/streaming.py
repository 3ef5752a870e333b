"""The plain streaming loop: chunked HTTP, simdjson's typed buffer, numpy, a Parquet writer.

It does what is needed for vectors in a file and nothing else: no order, no join, no checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simdjson
from common import Stopwatch, task_from_arguments

_ROWS = 1024
_SCHEMA = pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32()))])


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest += first
        for other in others:
            yield rest
            rest = other
    if rest:
        yield rest


def block(keys: list[str], matrix: np.ndarray) -> pa.Table:
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    count, dimensions = matrix.shape
    offsets = np.arange(0, (count + 1) * dimensions, dimensions, dtype=np.int32)
    vectors = pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)))
    return pa.table([pa.array(keys), vectors], schema=_SCHEMA)


def main() -> None:
    task = task_from_arguments()
    part = task.folder / "streaming.parquet"
    matrix = np.empty((_ROWS, task.dimensions), np.float32)
    keys: list[str] = []
    count = 0
    parser = simdjson.Parser()
    watch = Stopwatch()
    with (
        httpx.Client(timeout=60) as client,
        client.stream(
            "GET", f"{task.url}/v1beta/files/whole-{task.shards}:download?alt=media"
        ) as response,
        pq.ParquetWriter(
            part,
            _SCHEMA,
            compression="zstd",
            use_dictionary=False,
            use_byte_stream_split=["embedding.list.element"],
            write_statistics=False,
        ) as writer,
    ):
        for line in lines(response.iter_raw()):
            answer = parser.parse(line)
            values = answer["response"]["embedding"]["values"].as_buffer(of_type="d")
            matrix[len(keys)] = np.frombuffer(values)
            keys.append(answer["key"])
            # The parser is used again only when nothing refers to its document.
            del answer
            if len(keys) == _ROWS:
                writer.write_table(block(keys, matrix))
                count += len(keys)
                keys = []
        if keys:
            writer.write_table(block(keys, matrix[: len(keys)]))
            count += len(keys)
    watch.report(count, output_bytes=part.stat().st_size)


if __name__ == "__main__":
    main()
