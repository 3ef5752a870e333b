"""Settle a shard: one part from the rows of all attempts, and its rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.names import attempt_order, generation_of
from reembed.core.records import Outcome, Redrive, ordinals_of
from reembed.core.rows import merge_rows, reject_table, request_ordinals
from reembed.core.schema import REJECT
from reembed.destinations.parts import part_metadata, write_part, write_rejects
from reembed.driver.collect import lineage_of
from reembed.driver.context import Context
from reembed.errors import AlreadyExistsError, ObjectNotFoundError
from reembed.machine.reduce import FileWritten
from reembed.machine.states import ShardState

_ORDER = [("source_index", "ascending"), ("offset", "ascending"), ("part", "ascending")]
_BATCH_ROWS = 1024
# In a file's metadata: the settlement generation that wrote it.
_GENERATION = "reembed.generation"


def write_merged_part(context: Context, state: ShardState) -> FileWritten:
    """Merge rows into the shard's part, in input order.

    At first those of all attempts, and the copies that the plan made; in a later generation
    those of the part that stands and of the attempts of this generation, and the part is
    replaced.
    """
    uri = context.layout.part(context.commit, state.plan.shard)
    before = state.previous.part if state.previous is not None else ""
    # In the first generation, a part can only be there from a process that saw no retry in the same
    # answer and died before its outcome. The outcome on record counts, so the part is replaced.
    stands = _standing(context, before or _if_there(context, uri))
    if stands is not None and before and stands.generation == state.generation:
        return FileWritten(uri)  # written by a call that died before it could record it
    first = before or _copies(context, state)
    sources = (first, *(outcome.rows_uri for outcome in _outcomes(state)))
    try:
        return FileWritten(_write_part(context, state, [uri for uri in sources if uri], stands))
    except ObjectNotFoundError:
        # Another call has replaced the part meanwhile, with what this one would write.
        now = _standing(context, _if_there(context, uri))
        if now is None or now.generation != state.generation:
            raise
        return FileWritten(uri)


def clear_part(context: Context, state: ShardState) -> None:
    """Replace a part that stands although no outcome has rows by one without rows.

    A process can write it and die before its outcome; when the answer is gone by the time of the
    next fetch and what is bought again brings nothing, no other step replaces it. It is not
    deleted: a deletion has no condition, and could hit the part of a later generation.
    """
    uri = context.layout.part(context.commit, state.plan.shard)
    stands = _standing(context, _if_there(context, uri))
    if stands is not None and stands.generation <= state.generation:
        _write_part(context, state, [], stands)


def _write_part(
    context: Context, state: ShardState, sources: Sequence[str], stands: _Standing | None
) -> str:
    """Merge the rows of files into the shard's part; replace it in the state that it has."""
    uri, model = context.layout.part(context.commit, state.plan.shard), context.config.model
    chunkers = context.manifest(state.plan.shard).column("chunker").unique().to_pylist()
    metadata = part_metadata(context.rules.run, model.name, model.dimensions, model.task, chunkers)
    local = context.scratch / f"{state.plan.shard}.part"
    local.unlink(missing_ok=True)
    with ExitStack() as stack:
        opened = (
            context.storage.open(source, stands.version if stands and source == uri else "")
            for source in sources
        )
        streams = [_batches(stack.enter_context(stream)) for stream in opened]
        compression = context.config.destination.parquet.compression
        write_part(local, merge_rows(streams), _marked(metadata, state), compression)
    return _publish(context, local, uri, stands)


def write_all_rejects(context: Context, state: ShardState) -> FileWritten:
    """Write the shard's rejects, in input order.

    At first those of the plan and of every attempt; in a later generation those that stand, less
    what was sent again, and those of this generation's attempts.
    """
    uri = context.layout.rejects(context.commit, state.plan.shard)
    before = state.previous.reject_part if state.previous is not None else ""
    stands = _standing(context, before)
    if stands is not None and stands.generation == state.generation:
        return FileWritten(uri, _counted(_read(context, uri, REJECT)))
    manifest = context.manifest(state.plan.shard)
    if stands is None:
        kept = reject_table(manifest, {}, lineage_of(context, state, None))
    else:
        assert state.redrive is not None
        kept = _not_sent_again(_read(context, before, REJECT), manifest, state.redrive)
    uris = [outcome.errors_uri for outcome in _outcomes(state)]
    tables = [kept, *(_read(context, source, REJECT) for source in uris if source)]
    rejects = pa.concat_tables(tables).sort_by(_ORDER)
    local = context.scratch / f"{state.plan.shard}.rejects"
    local.unlink(missing_ok=True)
    metadata = _marked({"reembed.run": context.rules.run}, state)
    write_rejects(local, rejects.to_batches(), metadata)
    return FileWritten(_publish(context, local, uri, stands), _counted(rejects))


@dataclass(frozen=True, slots=True)
class _Standing:
    """File of an earlier settlement: the settlement generation that wrote it, and its version.

    `version` is the storage's generation of the object, for conditional replacement.
    """

    generation: int
    version: str


def _copies(context: Context, state: ShardState) -> str:
    copied = state.plan.copies and state.generation == 0
    return context.layout.copies(context.plan, state.plan.shard) if copied else ""


def _if_there(context: Context, uri: str) -> str:
    return uri if any(stat.uri == uri for stat in context.storage.list(uri)) else ""


def _standing(context: Context, uri: str) -> _Standing | None:
    if not uri:
        return None
    version = context.storage.stat(uri).generation
    with context.storage.open(uri, version) as stream:
        metadata = pq.read_metadata(stream).metadata or {}
    return _Standing(int(metadata.get(_GENERATION.encode(), b"0")), version)


def _marked(metadata: Mapping[str, str], state: ShardState) -> dict[str, str]:
    return {**metadata, _GENERATION: str(state.generation)}


def _not_sent_again(rejects: pa.Table, manifest: pa.Table, redrive: Redrive) -> pa.Table:
    """Return the rejects whose chunks were not sent again."""
    again = np.isin(request_ordinals(manifest), ordinals_of(redrive.sent.ordinals))
    chosen = manifest.filter(pa.array(again))
    spots = set(zip(*(chosen.column(name).to_pylist() for name, _ in _ORDER), strict=True))
    found = zip(*(rejects.column(name).to_pylist() for name, _ in _ORDER), strict=True)
    return rejects.filter(pa.array([spot not in spots for spot in found], pa.bool_()))


def _counted(rejects: pa.Table) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(rejects.column("reason").to_pylist()).items()))


def _outcomes(state: ShardState) -> list[Outcome]:
    """Return the outcomes of this generation's attempts, parents before children."""
    paths = sorted(state.attempts, key=attempt_order)
    found = [state.attempts[p].outcome for p in paths if generation_of(p) == state.generation]
    return [outcome for outcome in found if outcome is not None]


def _batches(stream: BinaryIO) -> Iterator[pa.RecordBatch]:
    yield from pq.ParquetFile(stream).iter_batches(batch_size=_BATCH_ROWS, use_threads=False)


def _read(context: Context, uri: str, schema: pa.Schema) -> pa.Table:
    with context.storage.open(uri) as stream:
        return pq.read_table(stream, schema=schema)


def _publish(context: Context, local: Path, uri: str, stands: _Standing | None) -> str:
    try:
        context.storage.publish(local, uri, replace=stands.version if stands is not None else None)
    except AlreadyExistsError:
        local.unlink(missing_ok=True)  # the same outcomes give the same file
    return uri
