"""The records of a plan: its listing, its stripes, its summary; and the plan's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
import pyarrow as pa

from reembed.core.machine.records import Id, Record
from reembed.core.policy import CHUNKER_VERSIONS
from reembed.core.shards import ShardPlan
from reembed.core.totals import PlanTotals
from reembed.types import Item, ItemPart, Position, Reject

# Raised when the same chunks would be packed or written in another way.
PLANNER_VERSION = 4

LISTING = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("generation", pa.string(), nullable=False),
        pa.field("checksum", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("text", pa.string()),
        pa.field("parts", pa.list_(pa.struct([("text", pa.string()), ("uri", pa.string())]))),
        pa.field("data", pa.string()),
        pa.field("reject", pa.struct([(n, pa.string()) for n in ("code", "message", "stage")])),
    ]
)


class StripePlan(Record):
    """`stripes/<stripe>.json`: the shards of a stripe, and what they come to."""

    stripe: int
    shards: tuple[ShardPlan, ...]
    totals: dict[str, Any]

    def plan_totals(self) -> PlanTotals:
        """The totals as numbers that add up."""
        return PlanTotals(**self.totals)


class PlanSummary(Record):
    """`plan.json`: written last, so its being there says that the plan is whole."""

    plan: Id
    name: str
    frozen: dict[str, Any]
    items: int
    totals: dict[str, Any]
    stripes: tuple[int, ...]
    digest: str

    def plan_totals(self) -> PlanTotals:
        """The totals as numbers that add up."""
        return PlanTotals(**self.totals)


def plan_id(frozen: Mapping[str, Any], state: Iterable[bytes]) -> str:
    """Name a plan, with 16 hex digits: the same for the same.

    Args:
        frozen: the frozen view of the configuration.
        state: what names the state of the source, and of the destination.
    """
    digest = hashlib.sha256()
    digest.update(
        orjson.dumps([PLANNER_VERSION, CHUNKER_VERSIONS, frozen], option=orjson.OPT_SORT_KEYS)
    )
    for said in state:
        digest.update(said)
    return digest.hexdigest()[:16]


def listing_table(items: Iterable[Item]) -> pa.Table:
    """Items as a table of schema `LISTING`."""
    rows = [
        {
            "key": item.key,
            "uri": item.uri,
            "index": item.position.index,
            "offset": item.position.offset,
            "size": item.size,
            "generation": item.generation,
            "checksum": item.checksum,
            "title": item.title,
            "metadata": item.metadata,
            "text": item.text,
            "parts": [asdict(part) for part in item.parts] or None,
            "data": item.data,
            "reject": asdict(item.reject) if item.reject else None,
        }
        for item in items
    ]
    return pa.Table.from_pylist(rows, schema=LISTING)


def items_of(table: pa.Table) -> list[Item]:
    """The items of a table of schema `LISTING`."""
    return [
        Item(
            key=row["key"],
            uri=row["uri"],
            position=Position(row["index"], row["offset"]),
            size=row["size"],
            generation=row["generation"],
            checksum=row["checksum"],
            title=row["title"],
            metadata=row["metadata"],
            text=row["text"],
            parts=tuple(ItemPart(**part) for part in row["parts"] or ()),
            data=row["data"],
            reject=Reject(**row["reject"]) if row["reject"] else None,
        )
        for row in table.to_pylist()
    ]


def digest_of(stripes: Iterable[StripePlan]) -> str:
    """SHA-256 over the fingerprints of all shards, in order: what the commit pins down."""
    digest = hashlib.sha256()
    for stripe in stripes:
        for shard in stripe.shards:
            digest.update(f"{shard.shard}:{shard.chunks}:{shard.fingerprint}\n".encode())
    return digest.hexdigest()
