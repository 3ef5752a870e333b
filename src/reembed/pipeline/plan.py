"""The plan: list, cut, pack and price everything; nothing is sent and nothing is paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import apache_beam as beam

from reembed.config.frozen import frozen_view
from reembed.config.load import LoadedConfig
from reembed.config.schema import Config
from reembed.core.planning import Packing
from reembed.core.plans import PlanSummary, StripePlan, digest_of, plan_id
from reembed.core.policy import ChunkPolicy
from reembed.core.requests import RequestOptions
from reembed.core.totals import sum_totals
from reembed.errors import ObjectNotFoundError, RunFailedError
from reembed.ledger.layout import Layout
from reembed.pipeline.options import beam_options, engine
from reembed.sources.base import Prepared
from reembed.sources.open import open_source
from reembed.storage.base import Storage
from reembed.transforms.chunk_items import ChunkItems
from reembed.transforms.pack_shards import PackShards
from reembed.transforms.read_items import ReadItems


def make_plan(
    loaded: LoadedConfig, storage: Storage, beam_arguments: Sequence[str] = ()
) -> PlanSummary:
    """Plan a configuration; a plan of the same source and configuration is taken as it is.

    Raises:
        UsageError: a place is not there, two inputs have one key.
        RunFailedError: the pipeline lost items.
    """
    config = loaded.config
    layout = Layout(config.run_dir)
    source = open_source(loaded, storage)
    frozen = frozen_view(config)
    plan = plan_id(frozen, source.identity())
    try:
        name = layout.plan_summary(plan)
        return PlanSummary.decode(storage.read(name), name)
    except ObjectNotFoundError:
        prepared = source.prepare(storage, layout, plan)
    options = beam_options(beam_arguments)
    with engine(options) as pipeline:
        build_plan(pipeline, config, layout, plan, prepared)
    return _summarise(config, layout, plan, storage, prepared.items, frozen)


def build_plan(
    pipeline: beam.Pipeline, config: Config, layout: Layout, plan: str, prepared: Prepared
) -> beam.PCollection[StripePlan]:
    """Wire the plan pipeline over a prepared source."""
    policy, request_options = ChunkPolicy.of(config), RequestOptions.of(config)
    return (
        pipeline
        | "Spans" >> beam.Create(prepared.spans)  # Span
        | "ReadItems" >> ReadItems(prepared.reader)  # Block
        | "ChunkItems" >> ChunkItems(layout, plan, policy, request_options)  # (stripe, ChunkBatch)
        | "PackShards" >> PackShards(layout, plan, Packing.of(config))  # StripePlan
    )


def _summarise(
    config: Config,
    layout: Layout,
    plan: str,
    storage: Storage,
    items: int,
    frozen: dict[str, object],
) -> PlanSummary:
    names = [stat.uri for stat in storage.list(layout.stripes(plan))]
    stripes = [StripePlan.decode(storage.read(name), name) for name in names]
    totals = sum_totals(stripe.plan_totals() for stripe in stripes)
    if totals.items != items:
        # An engine that says DONE has proved nothing.
        raise RunFailedError(
            f"the engine returned {totals.items} of {items} items; run the plan again, on "
            "another runner if it persists"
        )
    summary = PlanSummary(
        plan=plan,
        name=config.name,
        frozen=frozen,
        items=items,
        totals=asdict(totals),
        stripes=tuple(stripe.stripe for stripe in stripes),
        digest=digest_of(stripes),
    )
    storage.put(layout.plan_summary(plan), summary.encode())
    return summary
