"""A lane over many shards: its work grows with what runs, not with the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from reembed.core.records import Claim, Settled
from reembed.driver.lane import MAX_SEEKING, Lane, LaneResult, UnsettledShard
from reembed.driver.progress import Progress
from reembed.driver.session import open_context
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.machine.quotas import Quotas
from reembed.machine.rules import SharedState
from reembed.providers.base import BatchService, Job
from support.clocks import JumpingClock, Until
from support.memory import NOW, MemoryStorage
from support.planted import PLAN, RUN, Planted

RUNNING = 5


class CountingState(SharedStateStore):
    """Counts how often the world is looked at: once a decision, and little besides."""

    looks = 0

    def current(self) -> SharedState:
        self.looks += 1
        return super().current()


class StillService:
    """Jobs that run on for ever; nothing can be created."""

    def __init__(self, planted: Planted) -> None:
        self._jobs = {job.name: job for job in planted.jobs()}
        self.asked: list[str] = []

    def list_jobs(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, name: str) -> Job:
        self.asked.append(name)
        return self._jobs.get(name) or Job(name, "", "RUNNING", "RUNNING")


class Site:
    """A planted run, and a lane over all of it."""

    def __init__(self, scratch: Path, shards: int, settled: int = 0, **quotas: Any) -> None:
        self.planted = Planted(MemoryStorage(), shards, 24, 10, settled=settled, running=RUNNING)
        self.planted.plant()
        self.clock, self.service = JumpingClock(), StillService(self.planted)
        run_dir = self.planted.run_dir
        context = open_context(self.planted.session(), scratch, cast(BatchService, self.service))
        ledger, spend = Ledger(run_dir, 1, "lane"), ReservationLog(run_dir, 1)
        self.context = replace(
            context, run_dir=run_dir, ledger=ledger, spend=spend, clock=self.clock
        )
        wide = Quotas(max_usd_nano=None, jobs=RUNNING, tokens=10**15, file_bytes=10**18)
        self.shared = CountingState(RUN, replace(wide, **quotas), self.clock, NOW)
        self.plans = list(run_dir.shards(PLAN))

    def drive(self, seconds: float, one_round: bool = False) -> dict[str, LaneResult]:
        """Drive the lane until it leaves, or is interrupted after so long."""
        progress = Progress(self.planted.run_dir, 1, 0)
        until = Until(self.clock, seconds)
        lane = Lane(self.context, self.shared, progress, until, one_round)
        return dict(lane.run(self.plans))

    def note(self) -> dict[str, Any]:
        """What the lane said last."""
        name = self.planted.layout.progress(1, 0)
        found: dict[str, Any] = orjson.loads(self.planted.storage.read(name))
        return found


def reasons(results: dict[str, LaneResult]) -> set[str]:
    return {result.reason for result in results.values() if isinstance(result, UnsettledShard)}


def test_decisions_grow_with_what_asks_and_not_with_the_plan(tmp_path: Path) -> None:
    looks = []
    for shards in (200, 2000):
        site = Site(tmp_path, shards)
        results = site.drive(300.0)
        assert len(results) == shards
        assert reasons(results) == {"interrupted"}
        looks.append(site.shared.looks)
    # One look for each that leaves; while they wait, the 64 that ask are asked again.
    assert looks[1] < 1.1 * looks[0]
    assert looks[0] > 300 / 15 * MAX_SEEKING


def test_every_shard_is_counted_whether_it_is_looked_at_or_not(tmp_path: Path) -> None:
    site = Site(tmp_path, 500, settled=240)
    results = site.drive(30.0)
    assert len(results) == 500
    assert sum(isinstance(result, Settled) for result in results.values()) == 240
    assert site.note()["shards"] == {"planned": 255, "running": RUNNING, "settled": 240}
    assert (site.note()["rows"], site.note()["chunks_done"]) == (2400, 2400)


@pytest.mark.parametrize(
    ("quotas", "why"),
    [
        ({"jobs": RUNNING}, "it waits for the service"),
        ({"max_usd_nano": 1, "jobs": 10**6}, "the budget is used up"),
    ],
    ids=["quota", "budget"],
)
def test_one_round_leaves_every_shard_at_once(
    tmp_path: Path, quotas: dict[str, int], why: str
) -> None:
    site = Site(tmp_path, 400, **quotas)
    results = site.drive(1e9, one_round=True)
    assert len(results) == 400
    assert reasons(results) == {why, "it waits for the service"}
    assert site.clock.at < 20
    assert site.note()["shards"] == {"planned": 395, "running": RUNNING}


def test_a_shard_far_behind_is_looked_after_once_another_reserves_for_it(tmp_path: Path) -> None:
    site = Site(tmp_path, 400)
    last, log = site.plans[-1].shard, ReservationLog(site.planted.run_dir, 1)
    other = Ledger(site.planted.run_dir, 1, "other")
    wide = Quotas(max_usd_nano=None, jobs=10**6, tokens=10**15, file_bytes=10**18)

    def reserve() -> None:
        """Another runner sends the last shard, and dies."""
        site.clock.slept = lambda: None
        other.claim(last, "0", Claim(holder="other", epoch=1))
        other.created(last, "0", site.planted.created_of(last))
        log.reserve(f"{last}/0", 1, site.planted.need(), wide, lambda: NOW)

    site.clock.slept = reserve
    results = site.drive(600.0)
    assert f"batches/{last}" in site.service.asked
    assert len(results) == 400
