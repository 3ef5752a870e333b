"""One side: drive every shard of a planned run through one lane, with this or that ledger."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from planned import session_of, write_plan
from records import Memory, Split, Timed

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", choices=["real", "null"], required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--per-shard", type=int, required=True)
    given = parser.parse_args()
    session = session_of(given.folder, given.url, given.per_shard)
    # The limit of a job counts its eight canaries too.
    plans = write_plan(session, given.shards * (given.per_shard - 8))
    records = Timed(LocalStorage() if given.ledger == "real" else Memory())
    storage = cast(Any, Split(LocalStorage(), records))
    run_dir = RunDir(storage, session.run_dir.layout)
    scratch = given.folder / "scratch"
    scratch.mkdir()
    began, times = time.perf_counter(), os.times()
    with open_service(session.config.service, "any-key") as service:
        context = open_context(session, scratch, service)
        ledger = Timed(Ledger(run_dir, 1, "side"))
        spend = Timed(ReservationLog(run_dir, 1))
        context = replace(
            context, run_dir=run_dir, ledger=cast(Any, ledger), spend=cast(Any, spend)
        )
        offset = context.ledger.storage_now() - context.clock.now()
        state = SharedStateStore(session.run, quotas_of(session.config), context.clock, offset)
        progress = Progress(run_dir, 1, 0)
        lane = Lane(context, state, progress, Interrupt())
        settled = [result for _, result in lane.run(plans) if isinstance(result, Settled)]
    seconds, now = time.perf_counter() - began, os.times()
    if len(settled) != len(plans):
        raise RuntimeError(f"{len(settled)} of {len(plans)} shards are settled")
    measured = {
        "seconds": seconds,
        "cpu": now.user - times.user + now.system - times.system,
        "shards": len(plans),
        "rows": sum(one.rows for one in settled),
        "ledger_seconds": ledger.seconds.total() + spend.seconds.total(),
        "ledger_cpu": ledger.cpu + spend.cpu,
        "calls": dict(records.calls),
        "storage_seconds": dict(records.seconds),
        "methods": {**ledger.seconds, **{f"spend.{n}": s for n, s in spend.seconds.items()}},
    }
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
