"""Beam transforms of reembed, for pipelines of your own.

`Embed` is a whole run as one step. The others are the steps that `reembed run` is made of.
Every import of Beam in this program is in this package.

| transform | from | to |
|---|---|---|
| `Embed` | `EmbedInput`, or ``(key, text)`` | `EmbedResult`: `Embedding`, `EmbedReject` |
| `ReadItems` | `Span` | `Block` |
| `ChunkItems` | `Block` | ``(partition, ChunkBatch)`` |
| `PackShards` | ``(partition, ChunkBatch)`` | `PartitionPlan` |
| `CheckKeys` | `Block` | `KeyFindings` |
| `DealLanes` | the beginning of a pipeline | `LaneSpec` |
| `DriveShards` | `LaneSpec` | ``(shard, Settled)`` |
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reembed.beam.blocks import ChunkBatch, SeenKeys
    from reembed.beam.check_keys import CheckKeys
    from reembed.beam.chunk_items import Chunking, ChunkItems
    from reembed.beam.drive_shards import DealLanes, DriveShards, LaneSpec
    from reembed.beam.elements import Embedding, EmbedInput, EmbedReject, EmbedResult
    from reembed.beam.embed import Embed
    from reembed.beam.pack_shards import PackShards
    from reembed.beam.read_items import ReadItems
    from reembed.core.keys import KeyFindings
    from reembed.core.plans import PartitionPlan
    from reembed.core.records import Settled
    from reembed.sources.base import Block, Span

# Name → module. Loaded when first asked for: modules of this package import each other, and a
# command that uses one of them should not import all.
_MODULES = {
    "Block": "reembed.sources.base",
    "CheckKeys": "reembed.beam.check_keys",
    "ChunkBatch": "reembed.beam.blocks",
    "ChunkItems": "reembed.beam.chunk_items",
    "Chunking": "reembed.beam.chunk_items",
    "DealLanes": "reembed.beam.drive_shards",
    "DriveShards": "reembed.beam.drive_shards",
    "Embed": "reembed.beam.embed",
    "EmbedInput": "reembed.beam.elements",
    "EmbedReject": "reembed.beam.elements",
    "EmbedResult": "reembed.beam.elements",
    "Embedding": "reembed.beam.elements",
    "KeyFindings": "reembed.core.keys",
    "LaneSpec": "reembed.beam.drive_shards",
    "PackShards": "reembed.beam.pack_shards",
    "PartitionPlan": "reembed.core.plans",
    "ReadItems": "reembed.beam.read_items",
    "SeenKeys": "reembed.beam.blocks",
    "Settled": "reembed.core.records",
    "Span": "reembed.sources.base",
}

__all__ = [
    "Block",
    "CheckKeys",
    "ChunkBatch",
    "ChunkItems",
    "Chunking",
    "DealLanes",
    "DriveShards",
    "Embed",
    "EmbedInput",
    "EmbedReject",
    "EmbedResult",
    "Embedding",
    "KeyFindings",
    "LaneSpec",
    "PackShards",
    "PartitionPlan",
    "ReadItems",
    "SeenKeys",
    "Settled",
    "Span",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
