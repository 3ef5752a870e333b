"""The plan: list, cut, pack and price everything; nothing is sent and nothing is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.frozen import frozen_view
from reembed.config.load import LoadedConfig
from reembed.config.schema import Config
from reembed.core.names import stripe_of
from reembed.core.planning import Packing
from reembed.core.plans import PlanSummary, StripePlan, digest_of, listing_table, plan_id
from reembed.core.policy import ChunkPolicy
from reembed.core.requests import RequestOptions
from reembed.core.totals import sum_totals
from reembed.errors import ObjectNotFoundError, RunFailedError
from reembed.ledger.layout import Layout
from reembed.pipeline.options import beam_options, engine
from reembed.storage.base import Storage
from reembed.storage.listing import list_files, sample_items
from reembed.transforms.blocks import block_ranges
from reembed.transforms.chunk_items import ChunkItems
from reembed.transforms.pack_shards import PackShards
from reembed.transforms.read_items import ReadItems
from reembed.types import Item


def list_source(loaded: LoadedConfig, storage: Storage) -> list[Item]:
    """The items of a configuration's source, in input order; the run directory is no input."""
    config = loaded.config
    items = list_files(config.source.files, storage, loaded.base, exclude=(config.run_dir,))
    sample = config.source.sample
    return items if sample is None else sample_items(items, sample)


def make_plan(
    loaded: LoadedConfig, storage: Storage, beam_arguments: Sequence[str] = ()
) -> PlanSummary:
    """Plan a configuration; a plan of the same listing and configuration is taken as it is.

    Raises:
        UsageError: a pattern matches nothing, two inputs have one key.
        RunFailedError: the pipeline lost items.
    """
    config = loaded.config
    layout = Layout(config.run_dir)
    items = list_source(loaded, storage)
    frozen = frozen_view(config)
    plan = plan_id(frozen, items)
    try:
        name = layout.plan_summary(plan)
        return PlanSummary.decode(storage.read(name), name)
    except ObjectNotFoundError:
        counts = _write_listing(items, layout, plan, storage)
    options = beam_options(beam_arguments)
    with engine(options) as pipeline:
        build_plan(pipeline, config, layout, plan, counts)
    return _summarise(config, layout, plan, storage, counts, frozen)


def build_plan(
    pipeline: beam.Pipeline, config: Config, layout: Layout, plan: str, counts: dict[int, int]
) -> beam.PCollection[StripePlan]:
    """Wire the plan pipeline; `counts` are the items of each stripe's listing."""
    policy, request_options = ChunkPolicy.of(config), RequestOptions.of(config)
    return (
        pipeline
        | "Ranges" >> beam.Create(block_ranges(counts))  # BlockRange
        | "ReadItems" >> ReadItems(layout, plan)  # Block
        | "ChunkItems" >> ChunkItems(layout, plan, policy, request_options)  # (stripe, ChunkBatch)
        | "PackShards" >> PackShards(layout, plan, Packing.of(config))  # StripePlan
    )


def _write_listing(
    items: Sequence[Item], layout: Layout, plan: str, storage: Storage
) -> dict[int, int]:
    by_stripe: dict[int, list[Item]] = {}
    for item in items:
        by_stripe.setdefault(stripe_of(item.position.index), []).append(item)
    for stripe, members in sorted(by_stripe.items()):
        sink = pa.BufferOutputStream()
        pq.write_table(listing_table(members), sink, compression="zstd")
        storage.put(layout.listing(plan, stripe), sink.getvalue().to_pybytes())
    return dict(Counter(stripe_of(item.position.index) for item in items))


def _summarise(
    config: Config,
    layout: Layout,
    plan: str,
    storage: Storage,
    counts: dict[int, int],
    frozen: dict[str, object],
) -> PlanSummary:
    names = [layout.stripe(plan, stripe) for stripe in sorted(counts)]
    stripes = [StripePlan.decode(storage.read(name), name) for name in names]
    totals = sum_totals(stripe.plan_totals() for stripe in stripes)
    listed = sum(counts.values())
    if totals.items != listed:
        # An engine that says DONE has proved nothing.
        raise RunFailedError(
            f"the engine returned {totals.items} of {listed} listed items; run the plan again, on "
            "another runner if it persists"
        )
    summary = PlanSummary(
        plan=plan,
        name=config.name,
        frozen=frozen,
        items=listed,
        totals=asdict(totals),
        stripes=tuple(sorted(counts)),
        digest=digest_of(stripes),
    )
    storage.put(layout.plan_summary(plan), summary.encode())
    return summary
