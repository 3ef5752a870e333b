"""This program's way from a finished job to its Parquet part, shard by shard."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
from common import MODEL, Stopwatch, task_from_arguments
from render import fingerprint, manifest, shards

from reembed.core.canaries import plan_canaries
from reembed.core.names import shard_id
from reembed.core.rows import Lineage
from reembed.sinks.parts import Attempt, Collected, Room, collect_part

_ANSWER = "answer.jsonl"
_ENDED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def fetch(client: httpx.Client, url: str, path: Path) -> None:
    """Write an answer to a local file as it comes, over what an earlier answer left there.

    Fresh pages for a new file cost 6 to 90 microseconds a vector, on a virtual machine most of
    all; pages that the file has already cost 3.
    """
    mode = "r+b" if path.exists() else "xb"
    with client.stream("GET", url) as response, path.open(mode, buffering=0) as file:
        response.raise_for_status()
        for chunk in response.iter_raw():
            file.write(chunk)
        file.truncate()


def attempt_of(shard: int, chunks: pa.Table, dimensions: int) -> Attempt:
    """What the plan would hold of a shard."""
    canaries = plan_canaries(len(chunks))
    name = shard_id(0, shard)
    lineage = Lineage(
        run="benchmark",
        shard=name,
        job=f"batches/{shard}",
        attempt="0",
        embedded_at=_ENDED,
        model=MODEL,
        dimensions=dimensions,
        task="retrieval_document",
    )
    ordinals = range(len(chunks) + len(canaries))
    return Attempt(chunks, fingerprint(shard), ordinals, canaries, lineage)


def collect_shard(
    client: httpx.Client, url: str, attempt: Attempt, room: Room, folder: Path
) -> Collected:
    """Fetch, parse, join, verify, normalise, order and write one shard.

    Raises:
        RuntimeError: the answer was not trusted.
    """
    answer, part = folder / _ANSWER, folder / f"part-{attempt.lineage.shard}.parquet"
    part.unlink(missing_ok=True)
    fetch(client, url, answer)
    collected = collect_part(attempt, answer, part, room)
    if not collected.verdict.ok:
        raise RuntimeError(f"{attempt.lineage.shard}: {collected.verdict.reasons}")
    return collected


def main() -> None:
    task = task_from_arguments()
    rows = size = 0
    room = Room(spill_dir=task.folder)
    watch = Stopwatch()
    with httpx.Client(timeout=60) as client:
        for shard, (start, count) in enumerate(shards(task.vectors, task.per_shard)):
            url = f"{task.url}/v1beta/files/shard-{shard}:download?alt=media"
            attempt = attempt_of(shard, manifest(start, count), task.dimensions)
            part = collect_shard(client, url, attempt, room, task.folder).part
            rows += part.rows if part else 0
            size += part.bytes if part else 0
    watch.report(rows, size)
    # The next round begins, like this one, without a file to write over.
    (task.folder / _ANSWER).unlink()


if __name__ == "__main__":
    main()
