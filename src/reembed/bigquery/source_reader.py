"""Read the streams of a table on workers: rows to items, gathered by partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reembed.bigquery.base import ReadStream, Warehouse
from reembed.bigquery.names import TableName
from reembed.bigquery.partitions import Key, stripe_of_keys
from reembed.config.source import Columns
from reembed.core.names import STRIPE_ITEMS
from reembed.sources.base import BLOCK_ITEMS, BLOCK_ROWS, Block, Span, cut_blocks
from reembed.sources.rows import STAGE, items_of_rows
from reembed.storage.base import Storage
from reembed.types import Item, Position, Reject

# Rows come in the table's order, not in that of keys: those of a stripe are kept until they fill
# a block, or until all that is kept comes to this many bytes.
_MOST_KEPT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class TableReader:
    """Reads one stream a span; a span without a name stands for rows that have no key.

    `schema` is the session's (`ReadStream`), `origin` what items say of where they are from,
    `most` the largest digest that a sample takes.
    """

    warehouse: Warehouse
    table: TableName
    schema: bytes
    columns: Columns
    origin: tuple[str, str]
    borders: tuple[Key, ...]
    most: bytes | None = None

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """The items of a stream: the same each time, as a stream keeps its rows and their order."""
        if not span.uri:
            yield Block(span.first // STRIPE_ITEMS, tuple(self._keyless(span)))
            return
        kept = _Kept(BLOCK_ROWS if self.columns.text else BLOCK_ITEMS)
        stream = ReadStream(span.uri, self.table, self.schema)
        for batch in self.warehouse.read_stream(stream):
            yield from kept.add(batch.nbytes, self._by_stripe(batch))
        yield from kept.rest()

    def _by_stripe(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """The rows of a batch that have a key, a block a stripe."""
        keys = batch.column(self.columns.key)
        ranked = not pa.types.is_integer(keys.type)
        named = pc.is_valid(keys)
        if ranked:
            named = pc.and_kleene(named, pc.not_equal(keys, ""))
        rows = batch.filter(named)
        stripes = stripe_of_keys(rows.column(self.columns.key), self.borders)
        # Together by stripe, in the stream's order within: then a stripe is a slice.
        order = np.argsort(stripes, kind="stable")
        rows, stripes = rows.take(pa.array(order)), stripes[order]
        starts = np.flatnonzero(np.diff(stripes, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(stripes)]):
            stripe, mine = int(stripes[start]), rows.slice(start, end - start)
            places = self._places(mine.column(self.columns.key), stripe)
            items = items_of_rows(mine, self.columns, self.origin, places, self.most)
            if items:
                yield Block(stripe, tuple(items), ranked)

    def _places(self, keys: pa.Array, stripe: int) -> list[Position]:
        # Borders are another with every state of a table: an integer is its own place among all
        # rows, of this run and of others, and a text gets its rank when its stripe is together.
        if pa.types.is_integer(keys.type):
            return [Position(0, key) for key in keys.to_pylist()]
        return [Position(stripe)] * len(keys)

    def _keyless(self, span: Span) -> Iterator[Item]:
        """Rejects for rows that nothing tells apart: numbered, after all others."""
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
class _Kept:
    """Items that wait for more of their stripe."""

    most: int
    size: int = 0
    items: dict[int, list[Item]] = field(default_factory=dict)
    ranked: bool = False

    def add(self, size: int, blocks: Iterator[Block]) -> Iterator[Block]:
        """Take a batch of `size` bytes in; what fills a block comes out."""
        self.size += size
        for block in blocks:
            self.ranked = block.ranked
            waiting = self.items.setdefault(block.stripe, [])
            waiting += block.items
            full = len(waiting) // self.most * self.most
            yield from self._cut(block.stripe, waiting[:full])
            self.items[block.stripe] = waiting[full:]
        if self.size > _MOST_KEPT:
            yield from self.rest()

    def rest(self) -> Iterator[Block]:
        """Give out all that waits."""
        for stripe, waiting in self.items.items():
            yield from self._cut(stripe, waiting)
        self.items, self.size = {}, 0

    def _cut(self, stripe: int, items: list[Item]) -> Iterator[Block]:
        return cut_blocks(items, stripe, self.most, ranked=self.ranked)
