"""Elements between the steps of the plan pipeline: batches of chunks."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """Chunks of a block as an Arrow stream of schema `MANIFEST`: one element, many chunks.

    One element a chunk would cost several times more: each is pickled, and grouped, by itself.
    `items` are all of the block; `skipped` counts the chunks that the destination has, which
    are left out of `chunks` and counted in `all_chunks`. `keys` are those of all items, skipped
    ones too, as an Arrow stream of schema `core.keys.KEYS`, where offsets are to be their ranks;
    empty where items have their offsets.
    """

    items: int
    chunks: bytes
    skipped: int = 0
    keys: bytes = b""
    all_chunks: int = 0


@dataclass(frozen=True, slots=True)
class SeenKeys:
    """Keys of one bucket as an Arrow stream of schema `core.keys.SEEN`."""

    keys: bytes


def to_bytes(table: pa.Table) -> bytes:
    """Write a table as an Arrow stream, compressed: an engine may hold what it groups in memory."""
    buffer = pa.BufferOutputStream()
    packed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(buffer, table.schema, options=packed) as writer:
        writer.write_table(table)
    data: bytes = buffer.getvalue().to_pybytes()
    return data


def from_bytes(data: bytes) -> pa.Table:
    """Read the table of an Arrow stream."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
