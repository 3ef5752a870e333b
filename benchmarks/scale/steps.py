"""Measure what each step of a command takes as runs grow: seconds, memory, calls to the storage."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from counted import Counted

from reembed.core.records import Commit
from reembed.driver.lane import Lane
from reembed.driver.progress import Progress
from reembed.driver.session import open_context, quotas_of
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.commits import check_plan
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine.quotas import Quotas
from reembed.runs.audit import audit_jobs
from reembed.runs.plan import read_packed_plan
from reembed.runs.report import count_run
from reembed.runs.status import read_status
from sides import say
from support.clocks import JumpingClock, Until
from support.memory import NOW, MemoryStorage
from support.planted import PLAN, RUN, Planted

WIDE = Quotas(max_usd_nano=None, jobs=10**9, tokens=10**18, file_bytes=10**18)
# One lane of so many is measured, over so many seconds of the virtual clock.
LANES, LANE_SECONDS = 10, 600.0
# Jobs that ended and that the service still lists: a week of a hundred at four hours each.
LISTED = 4200
# Seconds after which a step is given up.
_PATIENCE = 300


class Listing:
    """The service as an audit and a lane's first look need it: jobs that run on."""

    def __init__(self, planted: Planted) -> None:
        self.planted = planted
        self.known = {job.name: job for job in planted.jobs()}

    def list_jobs(self) -> Iterator[Any]:
        return self.planted.jobs(listed=LISTED)

    def get(self, name: str) -> Any:
        return self.known[name]


def _commit(planted: Planted) -> Commit:
    name = planted.layout.commit(1)
    return Commit.decode(planted.storage.read(name), name)


def plan_end(planted: Planted, storage: Any) -> object:
    """The end of `plan`: the partitions' records are read and summed up."""
    return read_packed_plan(RunDir(storage, planted.layout), PLAN)


def check(planted: Planted, storage: Any) -> object:
    """The begin of a resumed call: the plan's digest."""
    check_plan(RunDir(storage, planted.layout), _commit(planted))
    return None


def status(planted: Planted, storage: Any) -> object:
    """`status` of a run that is half way."""
    return read_status(RunDir(storage, planted.layout))


def audit(planted: Planted, storage: Any) -> object:
    """The audit at the end of each call."""
    service: Any = Listing(planted)
    return audit_jobs(RunDir(storage, planted.layout), _commit(planted), service)


def count(planted: Planted, storage: Any) -> object:
    """The counts of the report at the end of each call."""
    return count_run(RunDir(storage, planted.layout), _commit(planted))


def spend(planted: Planted, storage: Any) -> object:
    """Two hundred lines of the reservation log, as a hundred jobs bring."""
    log = ReservationLog(RunDir(storage, planted.layout), 1)
    for number in range(100):
        attempt = f"99999999-{number:06}/0"
        log.reserve(attempt, 1, planted.need(), WIDE, lambda: NOW)
        log.release(attempt, 1, "end", NOW)
    return None


def count_settled(planted: Planted, storage: Any) -> object:
    """The same once every shard is settled: the footers of all parts."""
    counts = count_run(RunDir(storage, planted.layout), _commit(planted))
    assert counts.settled == counts.shards
    return counts


def lane(planted: Planted, storage: Any) -> object:
    """One lane of ten over a run that is half way: its start, and ten minutes of waiting."""
    with tempfile.TemporaryDirectory() as folder:
        service: Any = Listing(planted)
        context = open_context(planted.session(), Path(folder), service)
        clock = JumpingClock()
        ledger = Ledger(RunDir(storage, planted.layout), 1, "lane")
        log = ReservationLog(RunDir(storage, planted.layout), 1)
        context = replace(
            context, run_dir=RunDir(storage, planted.layout), ledger=ledger, spend=log, clock=clock
        )
        state = SharedStateStore(RUN, quotas_of(planted.config), clock, NOW)
        state.set_listed_jobs(context.service.list_jobs(), clock.now())
        ended = Until(clock, LANE_SECONDS)
        one = Lane(context, state, Progress(RunDir(storage, planted.layout), 1, 0), ended)
        mine = list(islice(RunDir(storage, planted.layout).shards(PLAN), 0, None, LANES))
        return len([None for _ in one.run(mine)])


STEPS: dict[str, tuple[Callable[[Planted, Any], object], dict[str, Any]]] = {
    "plan-end": (plan_end, {}),
    "check": (check, {}),
    "status": (status, {}),
    "lane": (lane, {}),
    "spend": (spend, {}),
    "audit": (audit, {}),
    "count": (count, {}),
    "count-settled": (count_settled, {"parts": True}),
}


def measure(
    shards: int, per_partition: int, rows: int, names: list[str]
) -> Iterator[dict[str, Any]]:
    """Run the steps over runs that are half way, each in a process that is forked for it."""
    with_parts = {name for name in names if STEPS[name][1].get("parts")}
    for chosen in (sorted(with_parts), [name for name in names if name not in with_parts]):
        if not chosen:
            continue
        planted = Planted(
            MemoryStorage(), shards, per_partition, rows, parts=chosen[0] in with_parts,
            settled=shards if chosen[0] in with_parts else shards // 2,
            running=0 if chosen[0] in with_parts else 100,
        )  # fmt: skip
        planted.plant()
        gc.collect()
        gc.freeze()
        for name in chosen:
            yield {"shards": shards, "step": name, **_forked(name, planted)}


def _forked(name: str, planted: Planted) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(_PATIENCE)
        os.write(writing, json.dumps(_run(name, planted)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    return json.loads(data) if data else {"seconds": None}


def _run(name: str, planted: Planted) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, storage = _status("VmRSS"), Counted(planted.storage)
    began = time.process_time()
    STEPS[name][0](planted, storage)
    return {
        "seconds": time.process_time() - began,
        "mb": (_status("VmHWM") - before) / 1024,
        "calls": dict(storage.counts),
        "alone": storage.alone,
        "waits": storage.waits,
    }


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--per-partition", type=int, default=24)
    parser.add_argument("--rows", type=int, default=833)
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    given = parser.parse_args()
    say("| shards | step | CPU s | MB | calls | of them one by one | waits at 50 ms a call, s |")
    say("|---|---|---|---|---|---|---|")
    for shards in given.shards:
        for one in measure(shards, given.per_partition, given.rows, given.steps):
            say(_row(one))


def _row(one: dict[str, Any]) -> str:
    if one["seconds"] is None:
        return f"| {one['shards']:,} | {one['step']} | above {_PATIENCE} | | | | |"
    return (
        f"| {one['shards']:,} | {one['step']} | {one['seconds']:.1f} | {one['mb']:,.0f} | "
        f"{sum(one['calls'].values()):,} | {one['alone']:,} | {one['waits']:,.0f} |"
    )


if __name__ == "__main__":
    main()
