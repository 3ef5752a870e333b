"""Plan a run: list, cut, pack and price everything; nothing is sent and nothing is paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain

import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.beam.dataflow import check_dataflow
from reembed.beam.engine import beam_options
from reembed.beam.run_plan import KeyChecks, Planning, run_plan
from reembed.config.frozen import frozen_view
from reembed.config.load import ResolvedConfig
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
from reembed.driver.interrupt import Interrupt
from reembed.errors import ObjectNotFoundError, RunFailedError, UsageError
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.runs.existing import DonorRows, read_findings, write_copies, write_existing
from reembed.sources.base import Prepared, Source
from reembed.sources.open import open_source

_Reject = tuple[str, int, str]


def is_noop(run_dir: RunDir, plan: PlanSummary, last: Commit) -> bool:
    """Tell whether a run of this plan would leave everything as the last run left it.

    Inputs that cannot be embedded are planned each time; they are nothing new once their rejects
    are written.
    """
    totals = plan.plan_totals()
    if totals.requests or totals.copies or totals.removed:
        return False
    return not totals.rejects or _planned_rejects(run_dir, plan) == _recorded_rejects(run_dir, last)


def _planned_rejects(run_dir: RunDir, plan: PlanSummary) -> set[_Reject]:
    found: set[_Reject] = set()
    for shard in run_dir.shards(plan.plan):
        table = run_dir.manifest(plan.plan, shard.shard, ["key", "part", "reject_code"])
        table = table.filter(pc.is_valid(table.column("reject_code")))
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def _recorded_rejects(run_dir: RunDir, last: Commit) -> set[_Reject]:
    found: set[_Reject] = set()
    for stat in run_dir.reject_parts(last.number):
        with run_dir.storage.open(stat.uri) as stream:
            table = pq.read_table(stream, columns=["key", "part", "reason"])
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def make_plan(
    loaded: ResolvedConfig,
    beam_arguments: Sequence[str] = (),
    interrupt: Interrupt | None = None,
) -> PlanSummary:
    """Plan a configuration; a plan of the same source, destination and configuration is kept.

    Raises:
        UsageError: a place is not there, two inputs have one key, the destination cannot take
            the rows.
        RunFailedError: the pipeline lost items.
    """
    config, run_dir = loaded.config, open_run_dir(loaded.config.run_dir)
    check_dataflow(config, beam_options(beam_arguments))
    run_dir.check_version()
    source = open_source(loaded, run_dir.storage)
    destination = open_destination(config, run_dir)
    destination.check()
    frozen = frozen_view(config)
    versions = ChunkPolicy.of(config).table().versions()
    plan = plan_id(frozen, versions, chain(source.identity(), destination.identity()))
    try:
        return run_dir.read_plan(plan)
    except ObjectNotFoundError:
        prepared = source.prepare(run_dir, plan)
    wanted = _wanted(config, source, prepared)
    existing = write_existing(run_dir, plan, destination, wanted.removed)
    task = PlanTask(config, plan, prepared.items, wanted)
    planning = Planning(config, run_dir, plan, prepared, existing, wanted)
    run_plan(planning, beam_arguments, complete_plan, task, interrupt)
    return complete_plan(task)


@dataclass(frozen=True, slots=True)
class PlanTask:
    """Plan whose pipeline has run; what is left is to check all of it together."""

    config: Config
    plan: str
    items: int
    wanted: KeyChecks


def complete_plan(task: PlanTask) -> PlanSummary:
    """Check what the pipeline wrote, copy rows with vectors of other keys, write the summary.

    Raises:
        UsageError: two inputs have one key.
        RunFailedError: the pipeline lost items.
    """
    config, plan, run_dir = task.config, task.plan, open_run_dir(task.config.run_dir)
    removed = read_findings(run_dir, plan) if task.wanted.keys else 0
    packed = read_packed_plan(run_dir, plan)
    donors = DonorRows(open_destination(config, run_dir), config.destination.text)
    write_copies(run_dir, plan, packed.copying, donors)
    summary = _summarise(config, plan, packed, task.items, removed)
    run_dir.write_plan(summary)
    return summary


@dataclass(frozen=True, slots=True)
class PackedPlan:
    """Sums over a plan's partitions; `copying` are the shards that have copies."""

    totals: PlanTotals
    partitions: tuple[int, ...]
    digest: str
    copying: tuple[ShardPlan, ...]


def read_packed_plan(run_dir: RunDir, plan: str) -> PackedPlan:
    """Sum up the partitions that the pipeline has written; read many at a time, none kept."""
    totals: list[PlanTotals] = []
    numbers: list[int] = []
    copying: list[ShardPlan] = []

    def read() -> Iterator[PartitionPlan]:
        for partition in run_dir.partitions(plan):
            totals.append(partition.plan_totals())
            numbers.append(partition.partition)
            copying.extend(shard for shard in partition.shards if shard.copies)
            yield partition

    digest = digest_of(read())
    return PackedPlan(sum_totals(totals), tuple(numbers), digest, tuple(copying))


def _wanted(config: Config, source: Source, prepared: Prepared) -> KeyChecks:
    # A sample says nothing of what is left out.
    removed = config.source.on_missing == "delete" and config.source.sample is None
    if removed and not prepared.items:
        raise UsageError(
            "the source is empty, and source.on_missing: delete would empty the destination; "
            "check the source, or keep what is missing"
        )
    return KeyChecks(removed or not source.unique, removed)


def _summarise(
    config: Config, plan: str, packed: PackedPlan, items: int, removed: int
) -> PlanSummary:
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
