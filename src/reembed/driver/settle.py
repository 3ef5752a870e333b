"""The last steps of a shard: one part from the rows of all attempts, and its rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.machine.apply import Wrote
from reembed.core.machine.view import ShardView
from reembed.core.merging import merge_rows
from reembed.core.names import attempt_order
from reembed.core.rows import reject_table
from reembed.core.schema import REJECT
from reembed.driver.collect import lineage_of
from reembed.driver.tools import Tools
from reembed.errors import AlreadyExistsError
from reembed.sinks.parquet import part_metadata, write_part, write_rejects

_ORDER = [("source_index", "ascending"), ("offset", "ascending"), ("part", "ascending")]
_BATCH_ROWS = 1024


def write_merged_part(tools: Tools, view: ShardView) -> Wrote:
    """Merge the rows of all attempts into the shard's part, in input order."""
    uris = [view.attempts[p].outcome.rows_uri for p in _paths(view)]  # type: ignore[union-attr]
    model = tools.config.model
    chunkers = tools.manifest(view.plan.shard).column("chunker").unique().to_pylist()
    metadata = part_metadata(tools.rules.run, model.name, model.dimensions, model.task, chunkers)
    local = tools.scratch / f"{view.plan.shard}.part"
    local.unlink(missing_ok=True)
    with ExitStack() as stack:
        streams = [_batches(stack.enter_context(tools.storage.open(uri))) for uri in uris if uri]
        write_part(local, merge_rows(streams), metadata, tools.config.sink.parquet.compression)
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


def _batches(stream: BinaryIO) -> Iterator[pa.RecordBatch]:
    yield from pq.ParquetFile(stream).iter_batches(batch_size=_BATCH_ROWS, use_threads=False)


def _read(tools: Tools, uri: str, schema: pa.Schema) -> pa.Table:
    with tools.storage.open(uri) as stream:
        return pq.read_table(stream, schema=schema)


def _publish(tools: Tools, local: Path, uri: str) -> str:
    try:
        tools.storage.publish(local, uri)
    except AlreadyExistsError:
        local.unlink(missing_ok=True)  # the same outcomes give the same file
    return uri
