"""Embed a committed plan: lanes of shards, driven until settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apache_beam as beam

from reembed.beam.at_the_end import AtTheEnd
from reembed.beam.dataflow import is_staged
from reembed.beam.drive_shards import DealLanes, DriveShards, interruptible
from reembed.beam.engine import Watchdog, beam_options, engine, workers_of
from reembed.core.records import Settled
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session
from reembed.errors import StagedError
from reembed.storage.open import open_storage


def run_embed(
    session: Session,
    beam_arguments: Sequence[str],
    at_the_end: Callable[[Session], object],
    interrupt: Interrupt,
) -> None:
    """Drive all shards of a committed run; the result is in the ledger.

    Args:
        session: the run.
        beam_arguments: Beam's own options.
        at_the_end: called on a worker after the last lane, where this process cannot wait for it.
        interrupt: once set, lanes that run in this process leave.

    Raises:
        StagedError: the job was written for a launcher.
    """
    options = beam_options(beam_arguments)
    lanes = session.config.batch.lanes or workers_of(options)
    notes = session.run_dir.layout.progresses(session.commit)
    watch = Watchdog(open_storage(), notes)
    with interruptible(session.run, interrupt), engine(options, watch, interrupt) as pipeline:
        settled = build_embed(pipeline, session, lanes)
        if is_staged(options):
            _ = pipeline | "EndRun" >> AtTheEnd(at_the_end, session, [settled])
    if is_staged(options):
        raise StagedError(
            f"the job that embeds run {session.run} was written; `reembed status` shows how it "
            "stands, and `reembed advance` goes on if it has left anything"
        )


def build_embed(
    pipeline: beam.Pipeline, session: Session, lanes: int
) -> beam.PCollection[tuple[str, Settled]]:
    """Wire the embedding pipeline."""
    return (
        pipeline
        | "DealLanes" >> DealLanes(lanes)  # LaneSpec
        | "DriveShards" >> DriveShards(session)  # (shard, Settled)
    )
