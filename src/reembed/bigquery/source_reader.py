"""Reader of a table's streams on workers: rows become items, gathered by partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reembed.bigquery.base import BigQuery, ReadStream
from reembed.bigquery.names import TableName
from reembed.bigquery.partitions import Key, partition_of_keys
from reembed.config.source import Columns
from reembed.core.names import PARTITION_ITEMS
from reembed.sources.base import BLOCK_ITEMS, BLOCK_ROWS, Block, Span, cut_blocks
from reembed.sources.rows import STAGE, items_of_rows
from reembed.storage.base import Storage
from reembed.types import Item, Position, Reject

# Rows come in the table's order, not in that of keys: those of a partition are buffered until they
# fill a block, or until all that is buffered comes to this many bytes.
_MOST_BUFFERED = 64 * 2**20


@dataclass(frozen=True, slots=True)
class TableReader:
    """Reads one stream a span; a span without a name stands for rows that have no key.

    `schema` is the session's (`ReadStream`), `origin` the `uri` and `generation` of items,
    `most` the largest digest that a sample includes.
    """

    bigquery: BigQuery
    table: TableName
    schema: bytes
    columns: Columns
    origin: tuple[str, str]
    borders: tuple[Key, ...]
    most: bytes | None = None

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """Read the items of a stream: the same each time, as a stream keeps its rows and order."""
        if not span.uri:
            yield Block(span.first // PARTITION_ITEMS, tuple(self._keyless(span)))
            return
        buffer = _Buffer(BLOCK_ROWS if self.columns.text else BLOCK_ITEMS)
        stream = ReadStream(span.uri, self.table, self.schema)
        for batch in self.bigquery.read_stream(stream):
            yield from buffer.add(batch.nbytes, self._by_partition(batch))
        yield from buffer.rest()

    def _by_partition(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Make blocks of the rows of a batch that have a key, one for each partition."""
        keys = batch.column(self.columns.key)
        ranked = not pa.types.is_integer(keys.type)
        has_key = pc.is_valid(keys)
        if ranked:
            has_key = pc.and_kleene(has_key, pc.not_equal(keys, ""))
        rows = batch.filter(has_key)
        partitions = partition_of_keys(rows.column(self.columns.key), self.borders)
        # Sorted by partition, in the stream's order within: then a partition is a slice.
        order = np.argsort(partitions, kind="stable")
        rows, partitions = rows.take(pa.array(order)), partitions[order]
        starts = np.flatnonzero(np.diff(partitions, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(partitions)]):
            partition, mine = int(partitions[start]), rows.slice(start, end - start)
            positions = self._positions(mine.column(self.columns.key), partition)
            items = items_of_rows(mine, self.columns, self.origin, positions, self.most)
            if items:
                yield Block(partition, tuple(items), ranked)

    def _positions(self, keys: pa.Array, partition: int) -> list[Position]:
        # Borders differ with every state of a table, so a partition's number cannot be the position
        # of a row for good. An integer key is its own position among all rows, of this run and of
        # others; a text gets its rank in the partition when that is complete (`PackShards`).
        if pa.types.is_integer(keys.type):
            return [Position(0, key) for key in keys.to_pylist()]
        return [Position(partition)] * len(keys)

    def _keyless(self, span: Span) -> Iterator[Item]:
        """Make rejects for rows without a key: counted, not read, as nothing tells them apart."""
        uri, generation = self.origin
        message = f"the row has no key in column {self.columns.key!r}"
        for number in range(span.start, span.end):
            yield Item(
                f"{uri}#{number}",
                uri,
                Position(len(self.borders) + 1, number),
                generation=generation,
                reject=Reject("no_key", message, STAGE),
            )


@dataclass(slots=True)
class _Buffer:
    """Items that wait until their partition fills a block."""

    most: int
    size: int = 0
    items: dict[int, list[Item]] = field(default_factory=dict)
    ranked: bool = False

    def add(self, size: int, blocks: Iterator[Block]) -> Iterator[Block]:
        """Add a batch of `size` bytes; yield the blocks that are full."""
        self.size += size
        for block in blocks:
            self.ranked = block.ranked
            waiting = self.items.setdefault(block.partition, [])
            waiting += block.items
            full = len(waiting) // self.most * self.most
            yield from self._cut(block.partition, waiting[:full])
            self.items[block.partition] = waiting[full:]
        if self.size > _MOST_BUFFERED:
            yield from self.rest()

    def rest(self) -> Iterator[Block]:
        """Yield all that waits."""
        for partition, waiting in self.items.items():
            yield from self._cut(partition, waiting)
        self.items, self.size = {}, 0

    def _cut(self, partition: int, items: list[Item]) -> Iterator[Block]:
        return cut_blocks(items, partition, self.most, ranked=self.ranked)
