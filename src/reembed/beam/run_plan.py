"""Run the planning pipeline: from a prepared source to the manifests of its shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apache_beam as beam

from reembed.beam.at_the_end import AtTheEnd
from reembed.beam.check_keys import CheckKeys
from reembed.beam.chunk_items import Chunking, ChunkItems
from reembed.beam.dataflow import is_staged
from reembed.beam.engine import beam_options, engine
from reembed.beam.pack_shards import PackShards
from reembed.beam.read_items import ReadItems
from reembed.config.schema import Config
from reembed.driver.interrupt import Interrupt
from reembed.errors import StagedError
from reembed.ledger.run_dir import RunDir
from reembed.providers.open import packing_of
from reembed.sources.base import Prepared

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyChecks:
    """Checks of the keys: any at all, and for keys that the source no longer has."""

    keys: bool
    removed: bool


@dataclass(frozen=True, slots=True)
class Planning:
    """Input of the planning pipeline: a prepared source, under the id of its plan.

    `existing` is the URI of the index of the rows that the destination has; empty for none.
    """

    config: Config
    run_dir: RunDir
    plan: str
    prepared: Prepared
    existing: str = ""
    wanted: KeyChecks = KeyChecks(False, False)


def run_plan(
    planning: Planning,
    beam_arguments: Sequence[str],
    at_the_end: Callable[[T], object],
    task: T,
    interrupt: Interrupt | None = None,
) -> None:
    """Write all manifests of a plan; the caller sums them up when the pipeline has ended.

    Args:
        planning: the source and its plan.
        beam_arguments: Beam's own options.
        at_the_end: called with `task` on a worker after the last step, where this process cannot
            wait for it.
        task: travels with the graph.
        interrupt: set at Ctrl-C, which engines may report as a failure.

    Raises:
        StagedError: the job was written for a launcher.
    """
    options = beam_options(beam_arguments)
    with engine(options, interrupt=interrupt) as pipeline:
        written = build_plan(pipeline, planning)
        if is_staged(options):
            _ = pipeline | "CompletePlan" >> AtTheEnd(at_the_end, task, written)
    if is_staged(options):
        raise StagedError(
            "the job that plans was written; when it has ended well, `reembed plan` shows plan "
            f"{planning.plan} and its price, and the next launch goes on"
        )


def build_plan(pipeline: beam.Pipeline, planning: Planning) -> list[beam.PCollection[Any]]:
    """Wire the planning pipeline; return the collections that are complete when all is written."""
    config, run_dir, plan = planning.config, planning.run_dir, planning.plan
    blocks = (
        pipeline
        | "Spans" >> beam.Create(planning.prepared.spans)  # Span
        | "ReadItems" >> ReadItems(planning.prepared.reader)  # Block
    )
    partitions = (
        blocks
        # (partition, ChunkBatch)
        | "ChunkItems" >> ChunkItems(Chunking.of(config, run_dir), plan, planning.existing)
        | "PackShards" >> PackShards(run_dir, plan, packing_of(config))  # PartitionPlan
    )
    if not planning.wanted.keys:
        return [partitions]
    findings = blocks | "CheckKeys" >> CheckKeys(run_dir, plan, planning.wanted.removed)
    return [partitions, findings]  # PartitionPlan, KeyFindings
