"""Trace one key through every run of a directory: chunks, shards, attempts, row or reject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.core.plans import ShardPlan
from reembed.core.records import Commit
from reembed.errors import ObjectNotFoundError
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir
from reembed.machine.history import Step, history_of
from reembed.machine.snapshot import state_of_shard
from reembed.storage.base import Storage
from reembed.storage.parallel import in_parallel

_OF_CHUNK = (
    *("key", "source_uri", "generation", "source_index", "offset", "part", "parts"),
    *("modality", "mime_type", "start", "end", "unit", "title", "content_hash", "chunker"),
    *("token_count", "request", "donor", "reject_code", "reject_message", "reject_stage"),
)
_OF_ROW = ("part", "model", "dimensions", "task", "token_count", "job", "attempt", "embedded_at")
_OF_REJECT = ("part", "reason", "message", "stage", "job", "attempt")


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """History of one chunk of the key in one run.

    `chunk` is its row of the manifest, `steps` the attempts of its request, `row` or `reject`
    how it ended (both None while it has not, or where a later run took it out), `file` where
    that stands. `settled` says whether its shard is.
    """

    commit: int
    run: str
    shard: str
    chunk: dict[str, Any]
    steps: tuple[Step, ...]
    file: str
    row: dict[str, Any] | None
    reject: dict[str, Any] | None
    settled: bool

    def as_json(self) -> dict[str, Any]:
        """For the machine."""
        return asdict(self)


def trace_key(run_dir: RunDir, key: str) -> Iterator[KeyHistory]:
    """Follow a key through the runs, newest first, its chunks in order.

    A run that left the key out, since the destination held it, has nothing to say of it.
    """
    for commit in run_dir.commits():
        plans = list(run_dir.shards(commit.plan))

        def chunks(plan: ShardPlan, of: str = commit.plan) -> list[dict[str, Any]]:
            return _rows(run_dir.storage, run_dir.layout.manifest(of, plan.shard), key, _OF_CHUNK)

        found = zip(plans, in_parallel(chunks, plans), strict=True)
        for plan, rows in found:
            if rows:
                yield from _of_shard(run_dir, commit, plan, rows)


def _of_shard(
    run_dir: RunDir,
    commit: Commit,
    plan: ShardPlan,
    chunks: list[dict[str, Any]],
) -> Iterator[KeyHistory]:
    ledger = Ledger(run_dir, commit.number, "trace")
    # Not the roll-up: it has no claims.
    partition = ledger.load_partition(plan.shard.split("-")[0], ages=False)
    records = partition.get(plan.shard)
    key = chunks[0]["key"]
    part, refused = (
        run_dir.layout.part(commit.number, plan.shard),
        run_dir.layout.rejects(commit.number, plan.shard),
    )
    rows = {row["part"]: row for row in _rows(run_dir.storage, part, key, _OF_ROW)}
    rejects = {row["part"]: row for row in _rows(run_dir.storage, refused, key, _OF_REJECT)}
    for chunk in chunks:
        number, request = chunk["part"], chunk["request"]
        steps: tuple[Step, ...] = ()
        if records is not None and request is not None:
            steps = tuple(history_of(state_of_shard(plan, records, 0.0), records, request))
        row, reject = rows.get(number), rejects.get(number)
        file = part if row is not None else refused if reject is not None else ""
        settled = records is not None and records.settled is not None
        yield KeyHistory(
            commit.number, commit.run, plan.shard, chunk, steps, file, row, reject, settled
        )


def _rows(storage: Storage, uri: str, key: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read the rows of one key in a Parquet file, in its order; none where there is no file."""
    found: list[dict[str, Any]] = []
    try:
        with storage.open(uri) as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):
                there = pc.equal(file.read_row_group(group, ["key"]).column("key"), pa.scalar(key))
                if pc.any(there).as_py():
                    table = file.read_row_group(group, list(columns)).filter(there)
                    found += table.to_pylist()
    except ObjectNotFoundError:
        return []
    return found
