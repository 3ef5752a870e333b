"""Record what the destination already has, for the workers of one plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.beam.blocks import to_bytes
from reembed.core.existing import index_of
from reembed.core.keys import KEYS, KeyFindings, into_buckets
from reembed.core.plans import ShardPlan
from reembed.core.schema import ROW
from reembed.destinations.base import Destination
from reembed.errors import RunFailedError, UsageError
from reembed.ledger.run_dir import RunDir

# Donors whose rows are looked for in one reading of the destination: 250 MB of vectors at 3,072.
_DONORS_AT_ONCE = 20_000
_FROM_DONOR = (
    *("model", "dimensions", "task", "embedding", "token_count"),
    *("run", "shard", "job", "attempt", "embedded_at"),
)


@dataclass(frozen=True, slots=True)
class DonorRows:
    """Destination that copies come from, and whether rows carry their text."""

    destination: Destination
    with_text: bool


def write_existing(run_dir: RunDir, plan: str, destination: Destination, with_keys: bool) -> str:
    """Index the destination's rows; the URI of the index, or nothing where it has none.

    Args:
        run_dir: where the plan lies.
        plan: the plan's id.
        destination: is read once, by the columns that say what is there.
        with_keys: write its keys too, by bucket, to find those that the source no longer has.
    """
    index = index_of(destination.existing())
    if not index.num_rows:
        return ""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, index.schema) as writer:
        writer.write_table(index)
    run_dir.storage.put(run_dir.layout.existing_rows(plan), buffer.getvalue().to_pybytes())
    if with_keys:
        keys = pa.table([pa.array(sorted(set(index.column("key").to_pylist())))], schema=KEYS)
        for bucket, table in into_buckets(keys).items():
            run_dir.storage.put(run_dir.layout.existing_keys(plan, bucket), to_bytes(table))
    return run_dir.layout.existing_rows(plan)


def read_findings(run_dir: RunDir, plan: str) -> int:
    """Count the keys that the source no longer has, by what the buckets showed.

    Raises:
        UsageError: keys came more than once, with examples.
    """
    names = [stat.uri for stat in run_dir.storage.list(run_dir.layout.key_findings(plan))]
    found = [KeyFindings.decode(run_dir.storage.read(name), name) for name in names]
    doubled = sum(each.doubled for each in found)
    if doubled:
        examples = [example for each in found for example in each.examples][:3]
        raise UsageError(
            f"{doubled:,} keys came more than once, and a key names one input: "
            f"{'; '.join(examples)}; make the keys unique"
        )
    return sum(each.removed for each in found)


def removed_keys(run_dir: RunDir, plan: str) -> Iterator[str]:
    """Read the keys of the destination that the source no longer had when the plan was made."""
    for stat in run_dir.storage.list(run_dir.layout.removed_keys(plan)):
        with run_dir.storage.open(stat.uri) as stream:
            yield from pq.read_table(stream).column("key").to_pylist()


def write_copies(
    run_dir: RunDir,
    plan: str,
    shards: Iterable[ShardPlan],
    source: DonorRows,
) -> None:
    """Take the vectors that the destination holds under other keys, as rows of their new keys.

    Raises:
        RunFailedError: the destination changed while it was read.
    """
    group: list[tuple[str, pa.Table]] = []
    for shard in (shard for shard in shards if shard.copies):
        manifest = run_dir.manifest(plan, shard.shard)
        group.append((shard.shard, manifest.filter(manifest.column("donor").is_valid())))
        if sum(chunks.num_rows for _, chunks in group) >= _DONORS_AT_ONCE:
            _write_group(run_dir, plan, group, source)
            group = []
    if group:
        _write_group(run_dir, plan, group, source)


def _write_group(
    run_dir: RunDir,
    plan: str,
    group: Sequence[tuple[str, pa.Table]],
    source: DonorRows,
) -> None:
    donors = {key for _, chunks in group for key in chunks.column("donor").to_pylist()}
    found = pa.Table.from_batches(list(source.destination.rows(donors)), ROW)
    names = (found.column(name).to_pylist() for name in ("key", "content_hash", "part"))
    row_of = {name: row for row, name in enumerate(zip(*names, strict=True))}
    for shard, chunks in group:
        wanted = (chunks.column(name).to_pylist() for name in ("donor", "content_hash", "part"))
        try:
            rows = [row_of[name] for name in zip(*wanted, strict=True)]
        except KeyError as err:
            raise RunFailedError(
                f"the destination has lost the row {err} since it was indexed; run again"
            ) from err
        buffer = pa.BufferOutputStream()
        pq.write_table(
            _copied(chunks, found.take(pa.array(rows)), source.with_text),
            buffer,
            compression="zstd",
        )
        run_dir.storage.put(run_dir.layout.copies(plan, shard), buffer.getvalue().to_pybytes())


def _copied(chunks: pa.Table, donors: pa.Table, with_text: bool) -> pa.Table:
    """Rows of schema `ROW`: the vector and its origin from the donor, all else from the chunk."""
    if not with_text:
        at = chunks.schema.get_field_index("text")
        chunks = chunks.set_column(at, "text", pa.nulls(chunks.num_rows, pa.string()))
    columns = [
        donors.column(field.name)
        if field.name in _FROM_DONOR
        else chunks.column(field.name).cast(field.type)
        for field in ROW
    ]
    return pa.Table.from_arrays(columns, schema=ROW)
