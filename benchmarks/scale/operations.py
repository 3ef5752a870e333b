"""Operations of the storage for each shard, by running real shards and fitting the slope."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from counted import CLASS_A, CLASS_B, Counted
from planned import session_of, write_plan

from reembed.core.records import Settled
from reembed.driver.interrupt import Interrupt
from reembed.driver.lane import Lane
from reembed.driver.progress import Progress
from reembed.driver.session import open_context, quotas_of
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.providers.gemini.client import open_service
from reembed.storage.local import LocalStorage
from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
from support.clocks import JumpingClock

# What is written by the clock, not by the shard.
BY_TIME = frozenset({"progress"})
_ROWS = 20

# Fitted by `per_shard`: from a shard's first look to its settlement, with room in the quota and
# without a fault. tests/scale/test_tables.py holds that it still is so.
PER_SHARD: Mapping[tuple[str, str], float] = {
    ("create", "claim"): 1,
    ("create", "created"): 1,
    ("create", "outcome"): 1,
    ("create", "settled"): 1,
    ("create", "spend"): 2,
    ("list", "stop"): 1,
    ("list", "partitions"): 1,
    ("list", "unsent"): 1,
    ("now", "clock"): 1,
    ("publish", "vectors"): 1,
    ("range", "shards"): 4,
    ("read", "spend"): 6,
    ("stat", "shards"): 2,
}


def per_shard(few: int = 8, many: int = 12) -> dict[tuple[str, str], float]:
    """Operations by name and kind of object: the slope between runs of few and of many shards."""
    less, more = drive(few), drive(many)
    slopes = {name: (more[name] - less[name]) / (many - few) for name in more | less}
    return {name: slope for name, slope in sorted(slopes.items()) if slope}


def drive(shards: int) -> Counter[tuple[str, str]]:
    """Drive a run of so many small shards through one lane against the emulator; its counts."""
    quick: dict[str, Any] = {"pending_seconds": 0.05, "running_seconds": 0.05}
    # Only sleeping lets its time pass: on a slow machine no look grows old and is repeated.
    clock = JumpingClock()
    clock.slept = lambda: time.sleep(0.02)
    settings = EmulatorSettings(port=0, fast_vectors=True, concurrent_jobs=1000, **quick)
    with tempfile.TemporaryDirectory() as folder, EmulatorServer(settings) as server:
        session = session_of(Path(folder), server.base_url, _ROWS)
        # The limit of a job counts its canary too.
        plans = write_plan(session, shards * (_ROWS - 1))
        storage = Counted(LocalStorage())
        run_dir = RunDir(storage, session.run_dir.layout)
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        with open_service(session.config.service, "any-key") as service:
            context = open_context(session, scratch, service)
            ledger = Ledger(run_dir, 1, "lane")
            spend = ReservationLog(run_dir, 1)
            context = replace(context, run_dir=run_dir, ledger=ledger, spend=spend, clock=clock)
            offset = context.ledger.storage_now() - context.clock.now()
            state = SharedStateStore(session.run, quotas_of(session.config), context.clock, offset)
            progress = Progress(run_dir, 1, 0)
            lane = Lane(context, state, progress, Interrupt())
            ended = [result for _, result in lane.run(plans)]
    if len(plans) != shards or not all(isinstance(result, Settled) for result in ended):
        raise RuntimeError(f"{len(plans)} of {shards} shards were planned: {ended}")
    return Counter({name: n for name, n in storage.kinds.items() if name[1] not in BY_TIME})


def classes(counts: Mapping[tuple[str, str], float]) -> tuple[float, float]:
    """Operations of class A and of class B."""
    return (
        sum(count for (name, _), count in counts.items() if name in CLASS_A),
        sum(count for (name, _), count in counts.items() if name in CLASS_B),
    )


if __name__ == "__main__":
    for (name, kind), slope in per_shard().items():
        sys.stdout.write(f'    ("{name}", "{kind}"): {slope:g},\n')
