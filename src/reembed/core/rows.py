"""Rows and rejects from a manifest and a joined answer, and merging them in input order.

Rows are made in the manifest's order while the vectors are in memory: no later step has to sort or
to carry vectors through a shuffle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reembed.core.join import Joined
from reembed.core.row_errors import RowError
from reembed.core.schema import INPUT_ORDER, REJECT, ROW


@dataclass(frozen=True, slots=True)
class Lineage:
    """Origin of the vectors of one attempt: columns that all its rows share.

    Args:
        run: the run's name.
        shard: the shard's name.
        job: the remote job (``batches/…``).
        attempt: the attempt's path.
        embedded_at: the job's end, UTC.
        model: bare name of the model.
        dimensions: values of a vector.
        task: as configured.

    Raises:
        ValueError: `embedded_at` is not in UTC.
    """

    run: str
    shard: str
    job: str
    attempt: str
    embedded_at: datetime
    model: str
    dimensions: int
    task: str

    def __post_init__(self) -> None:
        if self.embedded_at.utcoffset() != timedelta(0):
            raise ValueError(f"embedded_at {self.embedded_at.isoformat()}: give a time in UTC")


_FROM_LINEAGE = ("run", "shard", "job", "attempt", "embedded_at", "model", "dimensions", "task")


def request_ordinals(manifest: pa.Table) -> NDArray[np.int64]:
    """Return the ordinal of each chunk's request, int64 of shape (rows,); -1 where it has none."""
    column = pc.fill_null(manifest.column("request"), -1)
    ordinals: NDArray[np.int64] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return ordinals


def first_rows(manifest: pa.Table) -> NDArray[np.int64]:
    """Find the first row of each request, int64 of shape (requests,): ordinals are dense from 0.

    Rows that share a request ask for the same, so that one of them is enough.
    """
    ordinals, rows = np.unique(request_ordinals(manifest), return_index=True)
    return rows[ordinals >= 0]


def row_batches(
    manifest: pa.Table,
    joined: Joined,
    lineage: Lineage,
    *,
    include_text: bool,
    batch_rows: int = 256,
) -> Iterator[pa.RecordBatch]:
    """Yield a row for each chunk whose request has its vector, in the manifest's order.

    Chunks that share a request each get a row. `token_count` is the service's count where it gave
    one, else the plan's estimate. Embeddings are views into ``joined.matrix`` where the slots of
    a batch follow each other, so the matrix must stay while batches are in use.

    Args:
        manifest: schema `MANIFEST`, input order.
        joined: of one attempt; chunks whose request it did not send are left out.
        lineage: goes into every row.
        include_text: keep the chunks' text, else null.
        batch_rows: rows of a batch; a writer's working memory is some 10 bytes a value of it.

    Yields:
        Batches of schema `ROW`, none of them empty.

    Raises:
        ValueError: the matrix has other dimensions than `lineage` says.
    """
    if joined.matrix.shape[1] != lineage.dimensions:
        raise ValueError(
            f"vectors of {joined.matrix.shape[1]} values, the lineage says {lineage.dimensions}"
        )
    # By ordinal, never by the order of the answer.
    slots = joined.slots(request_ordinals(manifest))
    chosen = np.flatnonzero((slots >= 0) & joined.ok[slots] if len(joined.ok) else slots >= 0)
    for start in range(0, len(chosen), batch_rows):
        rows = chosen[start : start + batch_rows]
        yield _batch(_pick(manifest, rows), slots[rows], joined, lineage, include_text)


def _pick(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Rows of a table by ascending index; a slice, which copies nothing, when they are a run."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return table.slice(int(rows[0]), len(rows))
    return table.take(pa.array(rows))


def _batch(
    chunks: pa.Table,
    slots: NDArray[np.int64],
    joined: Joined,
    lineage: Lineage,
    include_text: bool,
) -> pa.RecordBatch:
    made: dict[str, pa.Array] = {
        name: _repeat(name, getattr(lineage, name), len(slots)) for name in _FROM_LINEAGE
    }
    made["embedding"] = embedding_array(_rows_of(joined.matrix, slots))
    counted = joined.tokens[slots]
    estimated = chunks.column("token_count").to_numpy(zero_copy_only=False)
    made["token_count"] = pa.array(np.where(counted >= 0, counted, estimated), pa.int64())
    if not include_text:
        made["text"] = pa.nulls(len(slots), pa.string())
    columns = [
        made[field.name] if field.name in made else _flat(chunks.column(field.name), field.type)
        for field in ROW
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROW)


def _repeat(name: str, value: Any, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, ROW.field(name).type), count)


def _flat(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    whole = column.combine_chunks()
    # Of no chunks, or of several that do not fit one array, a chunked array comes back.
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _rows_of(matrix: NDArray[np.float32], slots: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of a matrix: a view when the slots follow each other, else a copy."""
    first = int(slots[0]) if len(slots) else 0
    if np.array_equal(slots, np.arange(first, first + len(slots))):
        return matrix[first : first + len(slots)]
    return matrix[slots]


def embedding_array(vectors: NDArray[np.float32]) -> pa.Array:
    """Make a ``list<float32>`` array over the memory of contiguous vectors, shape (n, d)."""
    count, dimensions = vectors.shape
    flat = np.ascontiguousarray(vectors).reshape(-1)
    values = pa.Array.from_buffers(pa.float32(), flat.size, [None, pa.py_buffer(flat)])
    offsets = np.arange(0, (count + 1) * dimensions, dimensions, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def reject_table(
    manifest: pa.Table,
    errors: Mapping[int, RowError],
    lineage: Lineage,
    *,
    planned: bool = True,
) -> pa.Table:
    """Make a row for each chunk that has no vector, in the manifest's order.

    Args:
        manifest: schema `MANIFEST`, input order.
        errors: by ordinal, why the request brought no vector; all its chunks become rejects.
            Ordinals that no chunk names (canaries) are left out.
        lineage: of the attempt; its job and attempt stand only with `errors`.
        planned: also the rejects of the plan, whose job and attempt are empty.

    Returns:
        Schema `REJECT`.
    """
    requests = request_ordinals(manifest)
    # Chunks that share a failed request all fail: each is a reject, so that counts close.
    failed = np.isin(requests, np.fromiter(errors, np.int64, len(errors)))
    refused = manifest.column("reject_code").is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(failed | (refused if planned else False))
    chunks = _pick(manifest, rows)
    sent = failed[rows]
    found = [errors.get(int(ordinal)) for ordinal in requests[rows]]
    made = {
        "reason": _either(chunks, "reject_code", [e.reason if e else None for e in found]),
        "message": _either(chunks, "reject_message", [e.message if e else None for e in found]),
        "stage": _either(chunks, "reject_stage", [e.stage if e else None for e in found]),
        "attempt": pc.if_else(pa.array(sent), lineage.attempt, ""),
        "job": pc.if_else(pa.array(sent), lineage.job, ""),
        "run": pa.repeat(lineage.run, len(rows)),
        "shard": pa.repeat(lineage.shard, len(rows)),
    }
    columns = [
        made[field.name] if field.name in made else chunks.column(field.name) for field in REJECT
    ]
    return pa.Table.from_arrays(columns, schema=REJECT)


def _either(chunks: pa.Table, planned: str, found: list[str | None]) -> pa.ChunkedArray:
    """Take what was found for the request, else the plan's value; never null."""
    return pc.coalesce(pa.chunked_array([pa.array(found, pa.string())]), chunks.column(planned), "")


def merge_rows(streams: Sequence[Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merge rows (or rejects) of several attempts of one shard into input order, streaming.

    Keeps one batch a stream in memory: all rows up to the smallest last row of the current batches
    can be given out, whatever comes later.

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
    """Batch of a stream that is being merged."""

    def __init__(self, stream: Iterable[pa.RecordBatch]) -> None:
        self._stream = iter(stream)
        self._batch: pa.RecordBatch | None = None

    def advance(self) -> bool:
        """Read on to a batch that is not empty; False when the stream has ended."""
        while self._batch is None or self._batch.num_rows == 0:
            self._batch = next(self._stream, None)
            if self._batch is None:
                return False
        return True

    @property
    def last(self) -> tuple[int, int, int]:
        """Order of the current batch's last row."""
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
    index, offset, part = (batch.column(name)[row].as_py() for name in INPUT_ORDER)
    return index, offset, part


def _sorted(table: pa.Table) -> pa.Table:
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in INPUT_ORDER])
    return table.take(order)


def _check_ascending(
    table: pa.Table, before: tuple[int, int, int] | None
) -> tuple[int, int, int] | None:
    columns = [table.column(name).to_numpy() for name in INPUT_ORDER]
    for row in zip(*(column.tolist() for column in columns), strict=True):
        if before is not None and row <= before:
            what = "is there twice" if row == before else f"comes after {before}"
            raise ValueError(f"the chunk at {row} (source_index, offset, part) {what}")
        before = row
    return before
