"""Merge the rows of several attempts of one shard back into input order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

_ORDER = ("source_index", "offset", "part")


def merge_rows(streams: Sequence[Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merge rows (or rejects) of several attempts of one shard into input order, streaming.

    Holds one batch a stream: all rows up to the smallest last row of the held batches can be
    given out, whatever comes later.

    Args:
        streams: batches of one schema, each stream ordered by (source_index, offset, part).

    Yields:
        Batches in that order, none of them empty.

    Raises:
        ValueError: a stream out of order, or one chunk in two streams.
    """
    heads = [_Head(stream) for stream in streams]
    last: tuple[int, int, int] | None = None
    while live := [head for head in heads if head.advance()]:
        if len(live) == 1:
            merged = live[0].drain()
        else:
            bound = min(head.last for head in live)
            merged = _sorted(pa.Table.from_batches([head.until(bound) for head in live]))
        last = _check_ascending(merged, last)
        yield from merged.to_batches()


class _Head:
    """The batch of a stream that is being merged."""

    def __init__(self, stream: Iterable[pa.RecordBatch]) -> None:
        self._stream = iter(stream)
        self._batch: pa.RecordBatch | None = None

    def advance(self) -> bool:
        """Hold a batch that is not empty; False when the stream has ended."""
        while self._batch is None or self._batch.num_rows == 0:
            self._batch = next(self._stream, None)
            if self._batch is None:
                return False
        return True

    @property
    def last(self) -> tuple[int, int, int]:
        """The order of the held batch's last row."""
        assert self._batch is not None
        return _order_of(self._batch, self._batch.num_rows - 1)

    def drain(self) -> pa.Table:
        """Give out the whole batch."""
        assert self._batch is not None
        whole, self._batch = self._batch, None
        return pa.Table.from_batches([whole])

    def until(self, bound: tuple[int, int, int]) -> pa.RecordBatch:
        """Give out the rows up to and with `bound`."""
        assert self._batch is not None
        low, high = 0, self._batch.num_rows
        while low < high:
            middle = (low + high) // 2
            if _order_of(self._batch, middle) <= bound:
                low = middle + 1
            else:
                high = middle
        given, self._batch = self._batch.slice(0, low), self._batch.slice(low)
        return given


def _order_of(batch: pa.RecordBatch, row: int) -> tuple[int, int, int]:
    index, offset, part = (batch.column(name)[row].as_py() for name in _ORDER)
    return index, offset, part


def _sorted(table: pa.Table) -> pa.Table:
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _ORDER])
    return table.take(order)


def _check_ascending(
    table: pa.Table, before: tuple[int, int, int] | None
) -> tuple[int, int, int] | None:
    columns = [table.column(name).to_numpy() for name in _ORDER]
    for row in zip(*(column.tolist() for column in columns), strict=True):
        if before is not None and row <= before:
            what = "is there twice" if row == before else f"comes after {before}"
            raise ValueError(f"the chunk at {row} (source_index, offset, part) {what}")
        before = row
    return before
