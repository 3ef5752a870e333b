"""Records of a plan: shards, partitions, totals, summary, listing, and the plan's id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import reduce
from typing import Any

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from reembed.core.names import SHARD_PATTERN
from reembed.core.records import Id, Record
from reembed.types import Item, ItemPart, Position, Reject


class ShardPlan(BaseModel):
    """Shard of a plan.

    Counts: `chunks` = `requests` that bring vectors + `shared`, chunks that take the vector of an
    equal request + `copies`, chunks whose vector the destination has under another key +
    `rejects`. `tokens` per modality and `wire_bytes`, `result_bytes` include the `canaries`.
    `usd_nano` is the most that one attempt over all requests can cost (billionths of a dollar).
    """

    model_config = ConfigDict(frozen=True)

    shard: str = Field(pattern=SHARD_PATTERN)
    chunks: int
    requests: int
    canaries: int
    rejects: int
    tokens: dict[str, int]
    wire_bytes: int
    result_bytes: int
    usd_nano: int
    fingerprint: str
    shared: int = 0
    copies: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens of all modalities, canaries included."""
        return sum(self.tokens.values())


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """Counts of a plan, or of a part of it; totals of parts are added with ``+``.

    `chunks` = `requests` + `shared` + `copies` + `rejects` + `skipped`: chunks with a request of
    their own, chunks that take the vector of an equal request, chunks whose vector the
    destination has under another key, chunks that are rejects already, chunks that the
    destination has. `canaries` are requests beside these. `tokens` are by modality and include
    the canaries; `shared_tokens`, by modality, is what the shared and the copied chunks would
    have cost. `removed` are keys of the destination that the source no longer has. `input_bytes`
    (wire) and `result_bytes` (predicted) include the canaries. `jobs` are the shards that send
    something. `notes` are facts that the chunkers counted, for instance ``video_with_sound``.
    """

    items: int = 0
    chunks: int = 0
    requests: int = 0
    shared: int = 0
    copies: int = 0
    rejects: int = 0
    skipped: int = 0
    removed: int = 0
    canaries: int = 0
    shards: int = 0
    jobs: int = 0
    input_bytes: int = 0
    result_bytes: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    shared_tokens: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_tokens(self) -> int:
        """Tokens of all modalities."""
        return sum(self.tokens.values())

    def __add__(self, other: PlanTotals) -> PlanTotals:
        summed: dict[str, Any] = {}
        for name in (f.name for f in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            summed[name] = mine + theirs if isinstance(mine, int) else _plus(mine, theirs)
        return PlanTotals(**summed)


def sum_totals(parts: Iterable[PlanTotals]) -> PlanTotals:
    """Add up the totals of all parts; of no parts, zeros."""
    return reduce(PlanTotals.__add__, parts, PlanTotals())


def _plus(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})}


# Raised when the same chunks would be packed or written in another way: plans that stand are then
# made again. Rows that are paid for stay, since their content hashes do not have it.
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


class PartitionPlan(Record):
    """`partitions/<partition>.json`: the shards of a partition, and what they come to."""

    partition: int
    shards: tuple[ShardPlan, ...]
    totals: dict[str, Any]

    def plan_totals(self) -> PlanTotals:
        """Return the totals as numbers that add up."""
        return PlanTotals(**self.totals)


class PlanSummary(Record):
    """`plan.json`: written last, so that a plan with one is whole."""

    plan: Id
    name: str
    frozen: dict[str, Any]
    items: int
    totals: dict[str, Any]
    partitions: tuple[int, ...]
    digest: str

    def plan_totals(self) -> PlanTotals:
        """Return the totals as numbers that add up."""
        return PlanTotals(**self.totals)


def plan_id(frozen: Mapping[str, Any], versions: Mapping[str, str], state: Iterable[bytes]) -> str:
    """Name a plan, with 16 hex digits: the same for the same.

    Args:
        frozen: the frozen view of the configuration.
        versions: of the formats, see `Table.versions`: files are cut in another way by others, so
            a plan that stands would not be what its name promises.
        state: what names the state of the source, and of the destination.
    """
    digest = hashlib.sha256()
    made_by = [PLANNER_VERSION, versions, frozen]
    digest.update(orjson.dumps(made_by, option=orjson.OPT_SORT_KEYS))
    for each in state:
        digest.update(each)
    return digest.hexdigest()[:16]


def listing_table(items: Iterable[Item]) -> pa.Table:
    """Write items as a table of schema `LISTING`."""
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
    """Read the items of a table of schema `LISTING`."""
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


def digest_of(partitions: Iterable[PartitionPlan]) -> str:
    """SHA-256 over the fingerprints of all shards, in order: what the commit pins down."""
    digest = hashlib.sha256()
    for partition in partitions:
        for shard in partition.shards:
            digest.update(f"{shard.shard}:{shard.chunks}:{shard.fingerprint}\n".encode())
    return digest.hexdigest()
