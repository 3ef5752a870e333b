"""Keys in buckets: which came twice, and which the destination has and the source has not.

A doubled key would make two rows under one name, of which a later run would find either. Keys are
compared across all partitions, so they are gathered by a hash of the key; 64 buckets bound what one
worker has to sort.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reembed.core.records import Record

BUCKETS = 64
MOST_EXAMPLES = 3

# A key as the source gave it, and where: two int64 of its position.
SEEN = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("source_index", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
    ]
)
KEYS = pa.schema([pa.field("key", pa.string(), nullable=False)])


class KeyFindings(Record):
    """`keys/<bucket>.json` of a plan: what the keys of one bucket showed.

    `doubled` counts keys that came more than once, `examples` names some with their positions;
    `removed` counts those that the destination has and the source has not.
    """

    bucket: int
    keys: int
    doubled: int
    examples: tuple[str, ...]
    removed: int


def bucket_of(key: str) -> int:
    """Return the bucket of a key."""
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] % BUCKETS


def into_buckets(seen: pa.Table) -> dict[int, pa.Table]:
    """Split keys of schema `SEEN` or `KEYS` by bucket."""
    buckets = np.fromiter((bucket_of(key) for key in seen.column("key").to_pylist()), np.int64)
    return {
        int(bucket): seen.take(pa.array(np.flatnonzero(buckets == bucket)))
        for bucket in np.unique(buckets)
    }


def check_bucket(
    bucket: int, seen: pa.Table, existing: pa.Array | None
) -> tuple[KeyFindings, pa.Table]:
    """Check all keys of one bucket.

    Args:
        bucket: its number.
        seen: schema `SEEN`, every key of the source in this bucket.
        existing: keys of the destination in this bucket; None: not asked for.

    Returns:
        What was found, and the keys that the source no longer has (schema `KEYS`, sorted).
    """
    counts = seen.group_by("key").aggregate([("key", "count"), ("source_index", "list")])
    doubled = counts.filter(pc.greater(counts.column("key_count"), 1)).sort_by("key")
    examples = [
        f"{row['key']!r} ({row['key_count']} times{_places(row['source_index_list'])})"
        for row in doubled.slice(0, MOST_EXAMPLES).to_pylist()
    ]
    removed = pa.array([], pa.string())
    if existing is not None:
        removed = existing.filter(
            pc.invert(pc.is_in(existing, counts.column("key").combine_chunks()))
        )
    findings = KeyFindings(
        bucket=bucket,
        keys=counts.num_rows,
        doubled=doubled.num_rows,
        examples=tuple(examples),
        removed=len(removed),
    )
    return findings, pa.table([removed], schema=KEYS)


def _places(indexes: list[int]) -> str:
    if len(set(indexes)) < len(indexes):
        return ""  # of a table that is read by its keys, whose rows have no numbers
    return ", at " + ", ".join(str(index) for index in sorted(indexes)[:MOST_EXAMPLES])
