"""The last steps of a shard: one part from the rows of all attempts, and its rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.core.machine.apply import Wrote
from reembed.core.machine.view import ShardView
from reembed.core.names import attempt_order
from reembed.core.rows import reject_table
from reembed.core.schema import REJECT, ROW
from reembed.driver.collect import lineage_of
from reembed.driver.tools import Tools
from reembed.errors import AlreadyExistsError
from reembed.sinks.parquet import part_metadata, write_part, write_rejects

_ORDER = [("source_index", "ascending"), ("offset", "ascending"), ("part", "ascending")]
_BATCH_ROWS = 1024


def write_merged_part(tools: Tools, view: ShardView) -> Wrote:
    """Merge the rows of all attempts into the shard's part, in input order."""
    uris = [view.attempts[p].outcome.rows_uri for p in _paths(view)]  # type: ignore[union-attr]
    rows = pa.concat_tables([_read(tools, uri, ROW) for uri in uris if uri])
    model = tools.config.model
    chunkers = sorted(set(rows.column("chunker").to_pylist()))
    metadata = part_metadata(tools.rules.run, model.name, model.dimensions, model.task, chunkers)
    local = tools.scratch / f"{view.plan.shard}.part"
    local.unlink(missing_ok=True)
    order = pc.sort_indices(rows, sort_keys=_ORDER)
    write_part(local, _batches(rows, order), metadata, tools.config.sink.parquet.compression)
    uri = tools.layout.part(tools.commit, view.plan.shard)
    return Wrote(_publish(tools, local, uri))


def write_all_rejects(tools: Tools, view: ShardView) -> Wrote:
    """Write the rejects of the plan and of every attempt, in input order."""
    planned = reject_table(tools.manifest(view.plan.shard), {}, lineage_of(tools, view, None))
    uris = [view.attempts[p].outcome.errors_uri for p in _paths(view)]  # type: ignore[union-attr]
    tables = [planned, *(_read(tools, uri, REJECT) for uri in uris if uri)]
    rejects = pa.concat_tables(tables).sort_by(_ORDER)
    local = tools.scratch / f"{view.plan.shard}.rejects"
    local.unlink(missing_ok=True)
    write_rejects(local, rejects.to_batches(), {"reembed.run": tools.rules.run})
    counts = Counter(rejects.column("reason").to_pylist())
    uri = _publish(tools, local, tools.layout.rejects(tools.commit, view.plan.shard))
    return Wrote(uri, tuple(sorted(counts.items())))


def _paths(view: ShardView) -> list[str]:
    return sorted(view.attempts, key=attempt_order)


def _batches(rows: pa.Table, order: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(order), _BATCH_ROWS):
        yield from rows.take(order.slice(start, _BATCH_ROWS)).combine_chunks().to_batches()


def _read(tools: Tools, uri: str, schema: pa.Schema) -> pa.Table:
    with tools.storage.open(uri) as stream:
        return pq.read_table(stream, schema=schema)


def _publish(tools: Tools, local: Path, uri: str) -> str:
    try:
        tools.storage.publish(local, uri)
    except AlreadyExistsError:
        local.unlink(missing_ok=True)  # the same outcomes give the same file
    return uri
