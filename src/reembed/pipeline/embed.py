"""The embedding of a committed plan: lanes of shards, driven until settled."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from reembed.core.machine.records import Settled
from reembed.driver.session import Session
from reembed.pipeline.options import beam_options, engine, workers_of
from reembed.pipeline.silence import Silence
from reembed.storage.open import open_storage
from reembed.transforms.drive_shards import DealLanes, DriveShards


def run_embed(session: Session, beam_arguments: Sequence[str] = ()) -> None:
    """Drive all shards of a committed run; what came of it stands in the ledger."""
    options = beam_options(beam_arguments)
    lanes = session.config.batch.lanes or workers_of(options)
    notes = session.layout.progresses(session.commit)
    with engine(options, Silence(open_storage(), notes)) as pipeline:
        build_embed(pipeline, session, lanes)


def build_embed(
    pipeline: beam.Pipeline, session: Session, lanes: int
) -> beam.PCollection[tuple[str, Settled]]:
    """Wire the embedding pipeline."""
    return (
        pipeline
        | "DealLanes" >> DealLanes(lanes)  # LaneSpec
        | "DriveShards" >> DriveShards(session)  # (shard, Settled)
    )
