"""Run many seeds, or replay one: `./scripts/simulate --seeds 10000`, `… --seed 7`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context

from simulation.plants import PLANTS
from simulation.table import Counts, fault_table
from simulation.world import Report, run_seed

_EVERY_SECONDS = 10.0


def main() -> int:
    """Parse the options, run, and say what was found; 1 when a seed broke an invariant."""
    parser = argparse.ArgumentParser(prog="./scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default: 0)")
    parser.add_argument("--seed", type=int, help="replay one, with everything that happens in it")
    parser.add_argument(
        "--runners", type=int, default=0, help="processes at a time (default: by seed)"
    )
    parser.add_argument(
        "--workers", type=int, help="processes of this machine (default: one for each core)"
    )
    parser.add_argument("--plant", choices=sorted(PLANTS), help="plant this bug first")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options)
    return _many(options)


def _replay(options: argparse.Namespace) -> int:
    parts = PLANTS[options.plant].make() if options.plant else None
    report = run_seed(options.seed, parts, runners=options.runners, trace=print)
    print(fault_table(report.counts))
    for violation in report.violations:
        print(f"seed {report.seed}: {violation}")
    return 1 if report.violations else 0


def _run(work: tuple[int, int, str | None]) -> Report:
    seed, runners, plant = work
    return run_seed(seed, PLANTS[plant].make() if plant else None, runners=runners)


def _reports(options: argparse.Namespace) -> Iterator[Report]:
    seeds = range(options.first, options.first + options.seeds)
    work = [(seed, options.runners, options.plant) for seed in seeds]
    workers = options.workers or len(os.sched_getaffinity(0))
    if workers == 1:
        yield from map(_run, work)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_run, work, chunksize=8)


def _many(options: argparse.Namespace) -> int:
    counts: Counts = Counter()
    outside: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    done = jobs = broken = 0
    began = told = time.monotonic()
    for report in _reports(options):
        done, jobs = done + 1, jobs + report.jobs
        counts, outside, hits = (
            counts + report.counts,
            outside + report.outside,
            hits + report.quota_hits,
        )
        if report.violations:
            broken += 1
            again = f"--runners {options.runners} " if options.runners else ""
            again += f"--plant {options.plant} " if options.plant else ""
            print(
                f"./scripts/simulate {again}--seed {report.seed}   # {report.violations[0]}",
                flush=True,
            )
        if time.monotonic() - told > _EVERY_SECONDS:
            told = time.monotonic()
            print(
                f"{done} seeds, {done / (told - began):.1f} a second, {broken} broken",
                file=sys.stderr,
            )
    print(fault_table(counts))
    print(f"outside the stated bounds: {dict(sorted(outside.items()))}")
    print(f"429 for a real quota: {dict(sorted(hits.items()))}")
    seconds = time.monotonic() - began
    print(f"{done} seeds, {jobs} jobs, {done / seconds:.1f} seeds a second, {broken} broken")
    return 1 if broken else 0
