"""Measure `status` on run directories of many shards, each call to the storage 50 ms long."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.runs.status import read_status
from reembed.storage.local import LocalStorage
from sides import say
from support.counting import CountingStorage
from support.runs import Made

# In memory where there is one: the run directory takes 60,000 small files.
_MEMORY = Path("/dev/shm")


def main() -> None:
    options = _options()
    say("run                                  partitions  seconds  calls  pages  at once  said")
    for name, (partitions, make) in _RUNS.items():
        if options.runs and name not in options.runs:
            continue
        with tempfile.TemporaryDirectory(prefix="status-", dir=options.folder) as folder:
            made = Made(open_run_dir(f"{folder}/run"), partitions, options.shards // partitions)
            made.plan()
            make(made)
            _measure(name, made, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--milliseconds", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", nargs="+", choices=list(_RUNS))
    parser.add_argument("--folder", type=Path, default=_MEMORY if _MEMORY.is_dir() else None)
    return parser.parse_args()


def _settled(made: Made) -> None:
    made.settle(list(made.all_shards()))
    made.roll_up()
    made.finish()


def _half_in_order(made: Made) -> None:
    """Partitions settle one after the other: half have roll-ups, one is at work."""
    half = made.partitions // 2
    for partition in range(half):
        made.settle(made.shards(partition))
    made.roll_up()
    made.begin(made.shards(half))


def _half_everywhere(made: Made) -> None:
    """Half of every partition is settled: no roll-up. A run does not come to this by itself."""
    for partition in range(made.partitions):
        shards = made.shards(partition)
        made.settle(shards[::2])
        made.begin(shards[1::2])


_RUNS: dict[str, tuple[int, Callable[[Made], None]]] = {
    "settled": (100, _settled),
    "settled-small-partitions": (2500, _settled),
    "half-in-order": (100, _half_in_order),
    "half-in-order-small-partitions": (2500, _half_in_order),
    "half-everywhere": (100, _half_everywhere),
    "half-everywhere-one-partition": (1, _half_everywhere),
}


def _measure(name: str, made: Made, options: argparse.Namespace) -> None:
    seconds = []
    for _ in range(options.rounds):
        storage = CountingStorage(LocalStorage(), options.milliseconds / 1000)
        began = time.perf_counter()
        status = read_status(RunDir(storage, made.layout))
        seconds.append(time.perf_counter() - began)
    assert status is not None
    said = ", ".join(f"{count} {state}" for state, count in status.shards.items())
    say(
        f"{name:36} {made.partitions:7} {statistics.median(seconds):8.2f}"
        f" {sum(storage.counts.values()):6} {storage.counts['list']:6} {storage.max_concurrent:8}"
        f" {said}"
    )


if __name__ == "__main__":
    main()
