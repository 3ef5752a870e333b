"""Columns of rows, rejects and manifests."""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

INPUT_ORDER = ("source_index", "offset", "part")
"""Columns that sort rows, rejects and manifests into the order of the input."""

# Where a chunk stands in the input, and what it is.
_PLACE = [
    pa.field("key", pa.string(), nullable=False),
    pa.field("source_uri", pa.string(), nullable=False),
    pa.field("source_index", pa.int64(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("part", pa.int32(), nullable=False),
    pa.field("parts", pa.int32(), nullable=False),
    pa.field("modality", pa.string(), nullable=False),
    pa.field("mime_type", pa.string(), nullable=False),
]
_LINEAGE = [
    *_PLACE,
    pa.field("start", pa.float64()),
    pa.field("end", pa.float64()),
    pa.field("unit", pa.string()),
    pa.field("title", pa.string()),
    pa.field("text", pa.string()),
    pa.field("metadata", pa.string()),
    pa.field("content_hash", pa.string(), nullable=False),
]

# One row a vector. `start`/`end`: characters (half-open), seconds, or 1-based inclusive pages.
ROW = pa.schema(
    [
        *_LINEAGE,
        pa.field("model", pa.string(), nullable=False),
        pa.field("dimensions", pa.int32(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("embedding", pa.list_(pa.float32()), nullable=False),
        pa.field("token_count", pa.int64()),
        pa.field("run", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("job", pa.string(), nullable=False),
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("embedded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("chunker", pa.string(), nullable=False),
        pa.field("generation", pa.string(), nullable=False),
        pa.field("warnings", pa.list_(pa.string())),
    ]
)

# One row a chunk that has no vector. `attempt` and `job` are empty when nothing was sent.
REJECT = pa.schema(
    [
        *_PLACE,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("job", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
    ]
)

_SPLIT = pa.struct(
    [
        pa.field("modality", pa.string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)

# One row a planned chunk of a shard, in input order. `token_split` has the tokens by modality where
# a request mixes them; null: all are of the row's modality. `request` is the ordinal of the request
# that brings its vector (several chunks may share one); null when the chunk is a reject already,
# or when the destination has its vector under another key, the `donor`.
MANIFEST = pa.schema(
    [
        *_LINEAGE,
        pa.field("token_count", pa.int64(), nullable=False),
        pa.field("token_split", pa.list_(_SPLIT)),
        pa.field("input_bytes", pa.int64(), nullable=False),
        pa.field("chunker", pa.string(), nullable=False),
        pa.field("generation", pa.string(), nullable=False),
        pa.field("source_hash", pa.string(), nullable=False),
        pa.field("recipe", pa.string()),
        pa.field("warnings", pa.list_(pa.string())),
        pa.field("notes", pa.list_(pa.string())),
        pa.field("request", pa.int32()),
        pa.field("donor", pa.string()),
        pa.field("reject_code", pa.string()),
        pa.field("reject_message", pa.string()),
        pa.field("reject_stage", pa.string()),
    ]
)
