"""A process that drives a committed run by one lane, without Beam: what the fast matrix kills."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kills.writes import Watch, install
from reembed.core.records import Settled
from reembed.driver.context import Context
from reembed.driver.interrupt import Interrupt
from reembed.driver.lane import Lane, UnsettledShard
from reembed.driver.progress import Progress
from reembed.driver.session import Session, drive_lane, open_context, quotas_of, service_key
from reembed.driver.shared_state import SharedStateStore
from reembed.providers.gemini.client import open_service

SETTLED, FAILED, COME_AGAIN = 0, 1, 75


@dataclass(frozen=True)
class Call:
    """One process: what to drive, what to watch, where its words go, which bug to plant."""

    session: Session
    watch: Watch
    said: str
    plant: str = ""


def main(call: Call) -> None:
    """Drive all shards; leave with 0 settled, 75 come again, 1 failed, as the command does."""
    words = os.open(call.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(words, 1)
    os.dup2(words, 2)
    install(call.watch)
    ways = _planted(call.session, call.plant) if call.plant else drive_lane(call.session, 0, 1)
    settled = {shard for shard, _ in ways}
    run_dir = call.session.run_dir
    wanted = {plan.shard for plan in run_dir.shards(call.session.plan)}
    if settled == wanted:
        sys.exit(SETTLED)
    for note in run_dir.lane_notes(call.session.commit):
        if note.get("failed"):
            print(note["failed"], file=sys.stderr, flush=True)
            sys.exit(FAILED)
    sys.exit(COME_AGAIN)


def _planted(session: Session, plant: str) -> Iterator[tuple[str, Settled]]:
    """As `drive_lane` does, with a performer that has a bug, and without its first scan."""
    from simulation.plants import PLANTS

    performer = PLANTS[plant].make().performer
    with (
        tempfile.TemporaryDirectory() as folder,
        open_service(session.config.service, service_key(session.config)) as service,
    ):
        context = open_context(session, Path(folder), service)
        offset = context.ledger.storage_now() - context.clock.now()
        shared = SharedStateStore(session.run, quotas_of(session.config), context.clock, offset)
        progress = Progress(context.run_dir, session.commit, 0, 1e6)
        lane = _Planted(context, shared, progress, performer)
        for shard, result in lane.run(list(context.run_dir.shards(session.plan))):
            if not isinstance(result, UnsettledShard):
                yield shard, result


class _Planted(Lane):
    def __init__(
        self,
        context: Context,
        shared: SharedStateStore,
        progress: Progress,
        performer: Callable[..., object],
    ) -> None:
        super().__init__(context, shared, progress, Interrupt())
        self._performer = performer(context, shared)  # type: ignore[assignment]
