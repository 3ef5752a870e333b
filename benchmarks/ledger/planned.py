"""A planned run of short texts, the same on every side."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.pack import pack_partition
from reembed.core.plans import PartitionPlan, ShardPlan
from reembed.driver.session import Session
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.storage.local import LocalStorage
from reembed.types import Chunk, Position

PLAN = "plan"
_WORDS = ["tide", "foam", "shore", "gull", "rope", "mast", "keel", "wind", "salt", "reef"]


def session_of(root: Path, base_url: str, per_shard: int) -> Session:
    """A committed run, in the eyes of a worker."""
    config = Config.model_validate(
        {
            "name": "ledger",
            "run_dir": str(root / "run"),
            "source": {"files": ["*"]},
            "batch": {
                "max_requests": per_shard,
                "poll_seconds": [0.05, 0.2],
                "input": "file",
                "concurrent_jobs": 1000,
                "enqueued_tokens": 10**9,
            },
            "service": {"base_url": base_url},
        }
    )
    return Session(config, "a1b2c3d4e5f6", PLAN, 1)


def write_plan(session: Session, vectors: int) -> list[ShardPlan]:
    """Pack that many texts into shards and write what a lane needs of a plan."""
    storage, layout = LocalStorage(), session.run_dir.layout
    wire = GeminiWire.of(session.config)
    table = manifest_of([_chunk(index) for index in range(vectors)], wire)
    plans = []
    packing = packing_of(session.config)
    for shard in pack_partition(table, 0, packing):
        buffer = pa.BufferOutputStream()
        pq.write_table(shard.manifest, buffer)
        storage.put(layout.manifest(PLAN, shard.plan.shard), buffer.getvalue().to_pybytes())
        plans.append(shard.plan)
    partition = PartitionPlan(partition=0, shards=tuple(plans), totals={})
    storage.put(layout.partition(PLAN, 0), partition.encode())
    return plans


def _chunk(index: int) -> Chunk:
    text = " ".join(_WORDS[(index + step) % len(_WORDS)] for step in range(40)) + f" {index}"
    return Chunk(
        key=f"doc-{index:07}", uri=f"/none/{index:07}.txt", position=Position(index), part=0,
        parts=1, modality="text", mime_type="text/plain", tokens=60, input_bytes=len(text),
        generation="1", source_hash=f"{index:064x}", content_hash=f"{index:064x}",
        chunker="text/1", text=text,
    )  # fmt: skip
