"""What travels between the steps of the plan pipeline: blocks of items, batches of chunks."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from reembed.types import Item

# Items of one block: small enough to spread media over workers, large enough for short texts.
BLOCK_ITEMS = 64


@dataclass(frozen=True, slots=True)
class BlockRange:
    """Rows `start` to `end` (half-open) of a stripe's listing."""

    stripe: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Block:
    """Some items of one stripe, in input order."""

    stripe: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """The chunks of a block as an Arrow stream of schema `MANIFEST`: one element, many chunks."""

    items: int
    chunks: bytes


def to_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_bytes(data: bytes) -> pa.Table:
    """The table of an Arrow stream."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def block_ranges(counts: dict[int, int]) -> list[BlockRange]:
    """Cut the listings of all stripes (stripe: number of items) into blocks."""
    return [
        BlockRange(stripe, start, min(start + BLOCK_ITEMS, count))
        for stripe, count in sorted(counts.items())
        for start in range(0, count, BLOCK_ITEMS)
    ]
