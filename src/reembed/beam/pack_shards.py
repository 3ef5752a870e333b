"""Pack the chunks of a partition into shards, and write their manifests.

A partition is packed by one worker, in input order, by rules that know nothing of bundles: packed
again after a worker died, it gives the same bytes under the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.typehints import with_input_types, with_output_types

from reembed.beam.blocks import ChunkBatch, from_bytes
from reembed.beam.metrics import count_partition
from reembed.core.pack import PackedShard, Packing, pack_partition, rank_by_key, totals_of
from reembed.core.plans import PartitionPlan
from reembed.ledger.run_dir import RunDir
from reembed.storage.parallel import in_parallel

# A manifest is small, and its write mostly waits for the disk or the network.
_WRITERS = 8


def pack_shards(
    run_dir: RunDir,
    plan: str,
    partition: int,
    chunks: Iterable[ChunkBatch],
    packing: Packing,
) -> PartitionPlan:
    """Pack a partition and write its manifests, then the partition's own record."""
    batches = list(chunks)
    table = _one_table(batches)
    shards = list(pack_partition(table, partition, packing))

    def write(shard: PackedShard) -> None:
        buffer = pa.BufferOutputStream()
        # Read whole, never searched: the least and greatest text would be a quarter of the file.
        pq.write_table(shard.manifest, buffer, compression="zstd", write_statistics=False)
        name = run_dir.layout.manifest(plan, shard.plan.shard)
        run_dir.storage.put(name, buffer.getvalue().to_pybytes())

    in_parallel(write, shards, _WRITERS)
    skipped = sum(batch.skipped for batch in batches)
    totals = totals_of(shards, sum(batch.items for batch in batches), skipped)
    record = PartitionPlan(
        partition=partition, shards=tuple(shard.plan for shard in shards), totals=asdict(totals)
    )
    run_dir.storage.put(run_dir.layout.partition(plan, partition), record.encode())
    return record


def _one_table(batches: Sequence[ChunkBatch]) -> pa.Table:
    """Join the chunks of all batches; where offsets are still missing, take the ranks of keys.

    Ranks count the keys of what the destination holds too. So an item has the same place in a
    first run and in one that only brings it back, and an increment's rows stand between the rows
    of their neighbours in the source as it was then, as row numbers of files do. Across states of
    a table no number stays true when rows come in between: there the key itself is the order.
    """
    tables = [from_bytes(batch.chunks) for batch in batches]
    keys = [from_bytes(batch.keys).column("key") for batch in batches if batch.keys]
    if keys:
        every = pa.chunked_array([chunk for key in keys for chunk in key.chunks], pa.string())
        pairs = zip(batches, tables, strict=True)
        tables = [rank_by_key(t, every) if batch.keys else t for batch, t in pairs]
    return pa.concat_tables(tables)


@with_input_types(tuple[int, ChunkBatch])
@with_output_types(PartitionPlan)
class PackShards(beam.PTransform):
    """Pack every partition, and write the manifests of its shards.

    Input: ``(partition, ChunkBatch)``. Output: `PartitionPlan`, one a partition.

    Args:
        run_dir: run directory of the plan.
        plan: the plan's id.
        packing: limits of a job.
    """

    def __init__(self, run_dir: RunDir, plan: str, packing: Packing) -> None:
        super().__init__()
        self._run_dir, self._plan, self._packing = run_dir, plan, packing

    def expand(
        self, chunks: beam.PCollection[tuple[int, ChunkBatch]]
    ) -> beam.PCollection[PartitionPlan]:
        """Gather each partition, then pack it."""
        return (
            chunks
            | "Gather" >> beam.GroupByKey()  # (partition, batches)
            | "Pack" >> beam.ParDo(_Pack(self._run_dir, self._plan, self._packing))  # PartitionPlan
        )


@with_input_types(tuple[int, Iterable[ChunkBatch]])
@with_output_types(PartitionPlan)
class _Pack(beam.DoFn):
    def __init__(self, run_dir: RunDir, plan: str, packing: Packing) -> None:
        self._run_dir, self._plan, self._packing = run_dir, plan, packing

    def process(self, element: tuple[int, Iterable[ChunkBatch]]) -> Iterator[PartitionPlan]:
        partition, chunks = element
        plan = pack_shards(self._run_dir, self._plan, partition, chunks, self._packing)
        count_partition(plan.plan_totals(), sum(shard.usd_nano for shard in plan.shards))
        yield plan
