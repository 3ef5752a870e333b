"""Plan a run: list, cut, pack and price everything; nothing is sent and nothing is paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import apache_beam as beam
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.beam.at_the_end import AtTheEnd
from reembed.beam.check_keys import CheckKeys
from reembed.beam.chunk_items import ChunkItems
from reembed.beam.dataflow import check_dataflow, is_staged
from reembed.beam.engine import beam_options, engine
from reembed.beam.pack_shards import PackShards
from reembed.beam.read_items import ReadItems
from reembed.config.frozen import frozen_view
from reembed.config.load import LoadedConfig
from reembed.config.schema import Config
from reembed.core.plans import (
    PartitionPlan,
    PlanSummary,
    PlanTotals,
    ShardPlan,
    digest_of,
    plan_id,
    sum_totals,
)
from reembed.core.records import Commit
from reembed.destinations.open import open_destination
from reembed.errors import ObjectNotFoundError, RunFailedError, StagedError, UsageError
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.layout import Layout
from reembed.ledger.plans import partitions_in, shards_of
from reembed.providers.open import find_provider, packing_of
from reembed.runs.existing import DonorRows, read_findings, write_copies, write_existing
from reembed.sources.base import Prepared, Source
from reembed.sources.open import open_source
from reembed.storage.base import Storage
from reembed.storage.open import open_storage

_Reject = tuple[str, int, str]


def is_noop(storage: Storage, layout: Layout, plan: PlanSummary, last: Commit) -> bool:
    """Whether a run of this plan would leave everything as the last run left it.

    Inputs that cannot be embedded are planned each time: they are no news once their rejects
    stand.
    """
    totals = plan.plan_totals()
    if totals.requests or totals.copies or totals.removed:
        return False
    return not totals.rejects or _planned(storage, layout, plan) == _standing(storage, layout, last)


def _planned(storage: Storage, layout: Layout, plan: PlanSummary) -> set[_Reject]:
    found: set[_Reject] = set()
    for shard in shards_of(storage, layout, plan.plan):
        with storage.open(layout.manifest(plan.plan, shard.shard)) as stream:
            table = pq.read_table(stream, columns=["key", "part", "reject_code"])
        table = table.filter(pc.is_valid(table.column("reject_code")))
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def _standing(storage: Storage, layout: Layout, last: Commit) -> set[_Reject]:
    found: set[_Reject] = set()
    for stat in storage.list(f"{layout.run_dir}/rejects/part-{last.number:04}-"):
        with storage.open(stat.uri) as stream:
            table = pq.read_table(stream, columns=["key", "part", "reason"])
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def make_plan(
    loaded: LoadedConfig, storage: Storage, beam_arguments: Sequence[str] = ()
) -> PlanSummary:
    """Plan a configuration; a plan of the same source, destination and configuration is kept.

    Raises:
        UsageError: a place is not there, two inputs have one key, the destination cannot take
            the rows.
        RunFailedError: the pipeline lost items.
    """
    config = loaded.config
    options = beam_options(beam_arguments)
    check_dataflow(config, options)
    layout = Layout(config.run_dir)
    source, destination = open_source(loaded, storage), open_destination(config, storage)
    destination.check()
    frozen = frozen_view(config)
    versions = ChunkPolicy.of(config).table().versions()
    plan = plan_id(frozen, versions, chain(source.identity(), destination.identity()))
    try:
        name = layout.plan_summary(plan)
        return PlanSummary.decode(storage.read(name), name)
    except ObjectNotFoundError:
        prepared = source.prepare(storage, layout, plan)
    wanted = _wanted(config, source, prepared)
    existing = write_existing(storage, layout, plan, destination, wanted.removed)
    task = PlanTask(config, plan, prepared.items, wanted)
    with engine(options) as pipeline:
        built = build_plan(pipeline, config, layout, plan, prepared, existing, wanted)
        if is_staged(options):
            _ = pipeline | "CompletePlan" >> AtTheEnd(complete_plan, task, built)
    if is_staged(options):
        raise StagedError(
            f"the job that plans was written; when it has ended well, `reembed plan` shows plan "
            f"{plan} and its price, and the next launch goes on"
        )
    return complete_plan(task)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Checks of the keys: any at all, and for keys that the source no longer has."""

    keys: bool
    removed: bool


@dataclass(frozen=True, slots=True)
class PlanTask:
    """A plan whose pipeline has run: what is left is to look at all of it together."""

    config: Config
    plan: str
    items: int
    wanted: Wanted


def complete_plan(task: PlanTask) -> PlanSummary:
    """Check what the pipeline wrote, copy rows with vectors of other keys, write the summary.

    Raises:
        UsageError: two inputs have one key.
        RunFailedError: the pipeline lost items.
    """
    config, plan, layout = task.config, task.plan, Layout(task.config.run_dir)
    storage = open_storage()
    removed = read_findings(storage, layout, plan) if task.wanted.keys else 0
    packed = read_packed(storage, layout, plan)
    donors = DonorRows(open_destination(config, storage), config.destination.text)
    write_copies(storage, layout, plan, packed.copying, donors)
    summary = _summarise(config, plan, packed, task.items, removed)
    storage.put(layout.plan_summary(plan), summary.encode())
    return summary


@dataclass(frozen=True, slots=True)
class Packed:
    """What a plan's partitions come to; `copying` are the shards that have copies."""

    totals: PlanTotals
    partitions: tuple[int, ...]
    digest: str
    copying: tuple[ShardPlan, ...]


def read_packed(storage: Storage, layout: Layout, plan: str) -> Packed:
    """Sum up the partitions that the pipeline has written; read many at a time, none kept."""
    totals: list[PlanTotals] = []
    numbers: list[int] = []
    copying: list[ShardPlan] = []

    def read() -> Iterator[PartitionPlan]:
        for partition in partitions_in(storage, layout, plan):
            totals.append(partition.plan_totals())
            numbers.append(partition.partition)
            copying.extend(shard for shard in partition.shards if shard.copies)
            yield partition

    digest = digest_of(read())
    return Packed(sum_totals(totals), tuple(numbers), digest, tuple(copying))


def _wanted(config: Config, source: Source, prepared: Prepared) -> Wanted:
    # A sample says nothing of what is left out.
    removed = config.source.on_missing == "delete" and config.source.sample is None
    if removed and not prepared.items:
        raise UsageError(
            "the source is empty, and source.on_missing: delete would empty the destination; "
            "check the source, or keep what is missing"
        )
    return Wanted(removed or not source.unique, removed)


def build_plan(
    pipeline: beam.Pipeline,
    config: Config,
    layout: Layout,
    plan: str,
    prepared: Prepared,
    existing: str = "",
    wanted: Wanted | None = None,
) -> list[beam.PCollection[Any]]:
    """Wire the plan pipeline over a prepared source; returns what has come when all is written."""
    policy, wire = ChunkPolicy.of(config), find_provider(config.service).wire(config)
    blocks = (
        pipeline
        | "Spans" >> beam.Create(prepared.spans)  # Span
        | "ReadItems" >> ReadItems(prepared.reader)  # Block
    )
    partitions = (
        blocks
        # (partition, ChunkBatch)
        | "ChunkItems" >> ChunkItems(layout, plan, policy, wire, existing, config.source)
        | "PackShards" >> PackShards(layout, plan, packing_of(config))  # PartitionPlan
    )
    if wanted is None or not wanted.keys:
        return [partitions]
    return [
        partitions,
        blocks | "CheckKeys" >> CheckKeys(layout, plan, wanted.removed),
    ]  # KeyFindings


def _summarise(config: Config, plan: str, packed: Packed, items: int, removed: int) -> PlanSummary:
    totals = replace(packed.totals, removed=removed)
    if totals.items != items:
        # An engine that says DONE has proved nothing.
        raise RunFailedError(
            f"the engine returned {totals.items} of {items} items; run the plan again, on "
            "another runner if it persists"
        )
    return PlanSummary(
        plan=plan,
        name=config.name,
        frozen=frozen_view(config),
        items=items,
        totals=asdict(totals),
        partitions=packed.partitions,
        digest=packed.digest,
    )
