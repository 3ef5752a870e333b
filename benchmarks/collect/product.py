"""This program's way from a finished job to its Parquet part, shard by shard."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from common import MODEL, Stopwatch, task_from_arguments
from render import FINGERPRINT, manifest

from reembed.core.canaries import plan_canaries
from reembed.core.names import shard_id
from reembed.core.rows import Lineage
from reembed.driver.intake import CollectedAnswer, ExpectedAnswer, VectorMemory, collect_stream
from reembed.providers.base import Job
from reembed.providers.gemini.answers import GeminiAnswerReader
from reembed.providers.gemini.client import GeminiService
from reembed.storage.local import LocalStorage

# As long as a real one: an answer is searched for it.
_KEY = "benchmark-0123456789-0123456789-0123456"
_ENDED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def attempt_of(shard: int, chunks: pa.Table, dimensions: int) -> ExpectedAnswer:
    """What the plan would hold of a shard."""
    canaries = plan_canaries(len(chunks))
    lineage = Lineage(
        run="benchmark",
        shard=shard_id(0, shard),
        job=f"batches/{shard}",
        attempt="0",
        embedded_at=_ENDED,
        model=MODEL,
        dimensions=dimensions,
        task="retrieval_document",
    )
    ordinals = range(len(chunks) + len(canaries))
    return ExpectedAnswer(chunks, FINGERPRINT, ordinals, canaries, lineage)


def collect_shard(
    service: GeminiService, job: Job, attempt: ExpectedAnswer, room: VectorMemory, folder: Path
) -> CollectedAnswer:
    """Stream, parse, join, verify, normalise, order, write and publish one shard.

    Raises:
        RuntimeError: the answer was not trusted.
    """
    part = folder / f"part-{os.getpid()}-{attempt.lineage.shard}.parquet"
    collected = collect_stream(
        attempt,
        lambda destination: service.stream(job, destination),
        part,
        room,
        GeminiAnswerReader,
    )
    if not collected.verdict.ok:
        raise RuntimeError(f"{attempt.lineage.shard}: {collected.verdict.reasons}")
    LocalStorage().publish(part, str(folder / "published" / part.name))
    return collected


def main() -> None:
    task = task_from_arguments()
    rows = size = 0
    room = VectorMemory(spill_dir=task.folder)
    file = f"files/shard-{task.per_shard}"
    watch = Stopwatch()
    with GeminiService(task.url, "v1beta", _KEY, 60.0) as service:
        for shard in range(task.shards):
            job = Job(f"batches/{shard}", "", "SUCCEEDED", "", responses_file=file)
            chunks = manifest(0, task.per_shard)
            attempt = attempt_of(shard, chunks, task.dimensions)
            info = collect_shard(service, job, attempt, room, task.folder).part
            rows += info.rows if info else 0
            size += info.bytes if info else 0
    watch.report(rows, output_bytes=size)
    for part in task.folder.glob(f"published/part-{os.getpid()}-*"):
        part.unlink()


if __name__ == "__main__":
    main()
