"""Measure collecting: against two scripts, with two workers, and its memory at growing sizes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import DIMENSIONS
from render import render

from sides import Mark, Times, compare, interleave, keep, pin, ratio, run_side, say, table

_HERE = Path(__file__).parent
_WHAT = ("sides", "workers", "memory", "one-shard")
# What the default packing (256 MB of predicted result) makes of 3,072 values.
_PER_SHARD = 6500
# The script holds 260 KB a vector in memory.
_COOKBOOK_VECTORS = 19_500
_LARGEST = 200_000


@dataclass(frozen=True)
class Bench:
    """A server that is at work, and what the options say."""

    url: str
    server: int
    folder: Path
    options: argparse.Namespace

    def run(self, side: str, shards: int, per_shard: int, place: int | None = -1) -> Times:
        return run_side(self.command(side, shards, per_shard), place)

    def command(self, side: str, shards: int, per_shard: int) -> list[str]:
        said = {"url": self.url, "folder": self.folder, "shards": shards, "per-shard": per_shard}
        said["dimensions"] = self.options.dimensions
        words = [word for name, value in said.items() for word in (f"--{name}", str(value))]
        return [str(_HERE / f"{side}.py"), *words]


def main() -> None:
    options = _options()
    marks: list[Mark] = []
    with tempfile.TemporaryDirectory(prefix="collect-", dir=options.folder) as name:
        folder = Path(name)
        render(folder, options.per_shard, options.dimensions)
        with _server(folder, options) as (url, server):
            bench = Bench(url, server, folder, options)
            for what in options.what:
                marks += _MEASURES[what](bench)
    keep(marks, options.marks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", nargs="+", choices=_WHAT, default=["sides"])
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--per-shard", type=int, default=_PER_SHARD)
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--largest", type=int, default=_LARGEST, help="vectors, for memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    parser.add_argument("--marks", type=Path, help="a file for the ratios")
    return parser.parse_args()


@contextmanager
def _server(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    numbers = [str(options.per_shard), str(options.dimensions)]
    command = [sys.executable, str(_HERE / "server.py"), str(folder), *numbers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin(0)) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}", process.pid
        finally:
            process.terminate()


def _sides(bench: Bench) -> list[Mark]:
    """Against the streaming loop and the cookbook script, each on one core."""
    given = bench.options
    shards = {"cookbook": max(1, min(given.shards, _COOKBOOK_VECTORS // given.per_shard))}

    def run(side: str) -> Times:
        return bench.run(side, shards.get(side, given.shards), given.per_shard)

    measured = interleave(("streaming", "product", "cookbook"), given.rounds, run)
    table(measured, "vectors")
    loop = compare(
        measured, "product", "streaming", "collect, one core, against a plain streaming loop",
        "≥ 0.95 ×",
    )  # fmt: skip
    script = compare(
        measured, "product", "cookbook", "collect, one core, against the cookbook script", "≥ 9 ×"
    )
    return [loop, script]


def _workers(bench: Bench) -> list[Mark]:
    """Two workers against one, as many shards each, on all cores; the server runs there too."""
    given = bench.options
    # Tied to one core, the server would take all of its time from one of the two workers.
    os.sched_setaffinity(bench.server, os.sched_getaffinity(0))

    def run(side: str) -> Times:
        workers = 2 if side == "two" else 1
        served, began = _cpu_of(bench.server), time.perf_counter()
        processes = [
            subprocess.Popen(
                [sys.executable, *bench.command("product", given.shards, given.per_shard)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(workers)
        ]
        found = [_last_line(process) for process in processes]
        whole = time.perf_counter() - began
        cores = len(os.sched_getaffinity(0))
        served = _cpu_of(bench.server) - served
        # One worker and the server have a core each; of two, both give the server its share.
        seconds = max(one["seconds"] for one in found)
        share = served / cores if workers == cores else 0.0
        return {
            "seconds": seconds - share,
            "cpu": sum(one["cpu"] for one in found),
            # Of workers that are not in each other's way each takes half as long for all vectors.
            "of each": sum(one["cpu"] for one in found) / workers,
            "units": sum(one["units"] for one in found),
            "peak_bytes": max(one["peak_bytes"] for one in found),
            "served": served,
            "whole": whole,
        }

    measured = interleave(("one", "two"), given.rounds, run)
    table(measured, "vectors")
    wall, cpu = (ratio(measured, "two", "one", name) for name in ("seconds", "of each"))
    say(f"two / one: {wall} in time without the server's share, {cpu} in CPU")
    return [Mark("collect with two workers against one", "≥ 1.8 ×", wall, cpu)]


def _last_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(bench: Bench) -> list[Mark]:
    """The peak of one worker over more and more shards."""
    given, peaks = bench.options, {}
    for vectors in (2000, given.largest // 10, given.largest):
        per_shard = min(vectors, given.per_shard)
        found = bench.run("product", max(1, vectors // per_shard), per_shard)
        peaks[found["units"]] = found["peak_bytes"] / 1e6
        say(f"{found['units']:9,} vectors: peak {peaks[found['units']]:,.0f} MB")
    said = ", ".join(f"{peak:,.0f} MB at {units:,}" for units, peak in peaks.items())
    return [Mark("peak memory of one worker over many shards", "flat, ≤ 350 MB", "", "", said)]


def _one_shard(bench: Bench) -> list[Mark]:
    """The peak for one shard of all vectors."""
    found = bench.run("product", 1, bench.options.largest)
    peak, rate = found["peak_bytes"] / 1e6, found["units"] / found["seconds"]
    said = f"{peak:,.0f} MB for {found['units']:,} vectors, {rate:,.0f} vectors/s"
    say(f"one shard: {said}")
    return [Mark("peak memory of one shard", "≤ 1 GB", "", "", said)]


_MEASURES = {"sides": _sides, "workers": _workers, "memory": _memory, "one-shard": _one_shard}

if __name__ == "__main__":
    main()
