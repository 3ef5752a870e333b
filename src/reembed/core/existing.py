"""Index of the rows that a destination already has, as sorted digests.

The unit of an increment is the chunk, and the destination alone decides: no record of earlier runs
is asked. A chunk whose key, content hash and part are there is left out where it is cut. One whose
content is there under another key names that row as its donor: its vector is copied, not bought.
Workers map the index into memory, so that all processes of a machine share one copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UInt64 = NDArray[np.uint64]

# 16 bytes of BLAKE2b: among a billion rows the chance of two alike is about 1 in 10^21.
_BYTES = 16

# `row` names (key, content_hash, part), `content` names (content_hash, part); each 16 bytes as
# two numbers, sorted by `row`. `key` is the row's key, for a donor.
INDEX = pa.schema(
    [
        pa.field("row_high", pa.uint64(), nullable=False),
        pa.field("row_low", pa.uint64(), nullable=False),
        pa.field("content_high", pa.uint64(), nullable=False),
        pa.field("content_low", pa.uint64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
    ]
)


def index_of(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Digest the rows of a destination: a table of schema `INDEX`.

    Args:
        batches: with the columns `key`, `content_hash` and `part`, in any order.
    """
    tables = [_digested(batch) for batch in batches if batch.num_rows]
    table = pa.concat_tables([INDEX.empty_table(), *tables]).combine_chunks()
    return table.sort_by([("row_high", "ascending"), ("row_low", "ascending")])


def _digested(batch: pa.RecordBatch) -> pa.Table:
    keys, hashes, parts = (
        batch.column(name).to_pylist() for name in ("key", "content_hash", "part")
    )
    rows = digests(row_names(keys, hashes, parts))
    contents = digests(content_names(hashes, parts))
    columns = [*rows.T, *contents.T]
    arrays = [pa.array(np.ascontiguousarray(column)) for column in columns]
    return pa.Table.from_arrays([*arrays, pa.array(keys, pa.string())], schema=INDEX)


def row_names(keys: Sequence[str], hashes: Sequence[str], parts: Sequence[int]) -> Iterable[bytes]:
    """Name each chunk: by content, part and key."""
    for key, content_hash, part in zip(keys, hashes, parts, strict=True):
        yield f"{content_hash}\0{part}\0{key}".encode()


def content_names(hashes: Sequence[str], parts: Sequence[int]) -> Iterable[bytes]:
    """Name each chunk's content, whatever its key."""
    for content_hash, part in zip(hashes, parts, strict=True):
        yield f"{content_hash}\0{part}".encode()


def digests(names: Iterable[bytes]) -> UInt64:
    """Digest names: uint64 of shape (n, 2), the high and the low half."""
    data = b"".join(hashlib.blake2b(name, digest_size=_BYTES).digest() for name in names)
    return np.frombuffer(data, ">u8").reshape(-1, 2).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class ExistingRows:
    """Index for lookups; its columns may lie in a mapped file."""

    index: pa.Table
    rows: tuple[UInt64, UInt64]
    contents: tuple[UInt64, UInt64]
    by_content: NDArray[np.intp]

    @classmethod
    def of(cls, index: pa.Table) -> ExistingRows:
        """Prepare an index of schema `INDEX`."""
        rows = _numbers(index, "row_high"), _numbers(index, "row_low")
        high, low = _numbers(index, "content_high"), _numbers(index, "content_low")
        order = np.argsort(high, kind="stable")
        return cls(index, rows, (high[order], low[order]), order)

    def __len__(self) -> int:
        return int(self.index.num_rows)

    def contains(self, names: Iterable[bytes]) -> NDArray[np.bool_]:
        """Tell which chunks, named by `row_names`, are there; shape (n,)."""
        return _find(digests(names), *self.rows) >= 0

    def donors(self, names: Iterable[bytes]) -> list[str | None]:
        """Find a key that has each content, named by `content_names`; None: there is none."""
        found = _find(digests(names), *self.contents)
        keys = self.index.column("key")
        return [keys[int(self.by_content[at])].as_py() if at >= 0 else None for at in found]


def _numbers(index: pa.Table, name: str) -> UInt64:
    numbers: UInt64 = index.column(name).to_numpy()
    return numbers


def _find(wanted: UInt64, high: UInt64, low: UInt64) -> NDArray[np.int64]:
    """Find each wanted pair in pairs sorted by `high`: int64, shape (n,); -1: it is missing."""
    at = np.searchsorted(high, wanted[:, 0])
    found = np.full(len(wanted), -1, np.int64)
    for row in np.flatnonzero(at < len(high)):
        spot = int(at[row])
        # Pairs with one high half are next to each other, and hardly ever more than one.
        while spot < len(high) and high[spot] == wanted[row, 0]:
            if low[spot] == wanted[row, 1]:
                found[row] = spot
                break
            spot += 1
    return found


def skip_existing(chunks: pa.Table, existing: ExistingRows) -> tuple[pa.Table, int]:
    """Leave out chunks that the destination has; name donors for contents under other keys.

    Args:
        chunks: schema `MANIFEST`; rejects stay as they are.
        existing: rows of the destination.

    Returns:
        The chunks that remain, with their `donor` set, and how many were left out.
    """
    if not len(existing) or not chunks.num_rows:
        return chunks, 0
    keys, hashes, parts = (
        chunks.column(name).to_pylist() for name in ("key", "content_hash", "part")
    )
    usable = chunks.column("reject_code").is_null().to_numpy(zero_copy_only=False)
    there = existing.contains(row_names(keys, hashes, parts)) & usable
    rest = np.flatnonzero(~there)
    donors = existing.donors(content_names([hashes[n] for n in rest], [parts[n] for n in rest]))
    named = [donor if usable[n] else None for n, donor in zip(rest, donors, strict=True)]
    kept = chunks.take(pa.array(rest))
    at = kept.schema.get_field_index("donor")
    kept = kept.set_column(at, kept.schema.field(at), pa.array(named, pa.string()))
    return kept, int(there.sum())
