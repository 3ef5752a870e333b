"""Measure a whole run of short texts against bare loops of its stages, one after the other."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
import orjson
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from bare import collect, plan, submit

from emulator import emulator
from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.core.plans import PlanSummary
from reembed.driver.session import Session
from reembed.ledger.run_dir import RunDir
from reembed.runs.options import RunOptions
from reembed.runs.run import run
from sides import Mark, Stopwatch, interleave, keep, middle, ratio, run_side, say, table
from texts import make_table

_SIDES = ("bare", "run")
_STAGES = {
    "bare": ("plan", "submit", "wait", "collect"),
    "run": ("start", "plan", "embed", "end"),
}
_WIDE = {"enqueued_tokens": 10**9, "file_storage_bytes": 10**12}


def main() -> None:
    options = _options()
    if options.side:
        (_bare if options.side == "bare" else _run)(options)
        return
    with tempfile.TemporaryDirectory(prefix="whole-", dir=options.folder) as name:
        make_table(Path(name) / "table.parquet", options.rows, options.characters)

        def side(which: str) -> dict[str, float]:
            with emulator(**_WIDE) as url, tempfile.TemporaryDirectory(dir=name) as work:
                words = ["--side", which, "--url", url, "--folder", name, "--work", work]
                words += ["--dimensions", str(options.dimensions)]
                return run_side([__file__, *words], None)

        measured = interleave(_SIDES, options.rounds, side)
    table(measured, "texts")
    for name, stages in _STAGES.items():
        for stage in stages:
            wall, cpu = (middle(measured[name], stage + unit) for unit in ("", " cpu"))
            say(f"{name:4} {stage:10} {wall:8.1f} s {cpu:8.1f} s of CPU")
    wall, cpu, busy = (ratio(measured, "bare", "run", n) for n in ("seconds", "cpu", "busy"))
    say(f"whole run / sum of the bare loops: {wall} in time, {cpu} in CPU")
    say(f"whole run / the bare loops without their wait for the jobs: {busy} in time")
    what = f"a run of {options.rows:,} short texts over the sum of its stages' bare loops"
    keep([Mark(what, "≤ 1.25 ×", wall, cpu)], options.marks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--characters", type=int, default=200)
    parser.add_argument("--dimensions", type=int, default=3072)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    parser.add_argument("--marks", type=Path, help="a file for the ratios")
    for hidden in ("--url", "--work"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _loaded(options: argparse.Namespace) -> ResolvedConfig:
    data = {
        "name": "whole",
        "run_dir": f"{options.work}/run",
        "source": {"parquet": {"files": ["table.parquet"], "key": "id", "text": "body"}},
        "model": {"dimensions": options.dimensions},
        "batch": {
            "input": "file",
            "poll_seconds": [0.1, 1.0],
            "concurrent_jobs": 1000,
            "enqueued_tokens": 10**9,
            "file_storage_gb": 1000,
        },
        "budget": {"max_usd": 1000},
        "service": {"base_url": options.url},
    }
    return config_from_mapping(orjson.loads(orjson.dumps(data)), options.folder)


class _Laps:
    """Wall and CPU seconds of stages that follow each other."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def end(self, stage: str) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.found |= {stage: wall - self._wall, f"{stage} cpu": cpu - self._cpu}
        self._wall, self._cpu = wall, cpu


class _Timed:
    """An observer that shows nothing and times the stages; `start` is mostly Beam's import."""

    def __init__(self) -> None:
        self.laps = _Laps()

    def planning(self, run_dir: RunDir) -> None:
        self.laps.end("start")

    def planned(self, plan: PlanSummary) -> None:
        self.laps.end("plan")

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        pass

    def ended(self) -> None:
        self.laps.end("embed")

    def say(self, text: str) -> None:
        pass


def _run(options: argparse.Namespace) -> None:
    loaded = _loaded(options)
    watch, timed = Stopwatch(), _Timed()
    begun = time.perf_counter()
    report = run(loaded, RunOptions(approve=lambda plan: 1000.0), timed)
    busy = time.perf_counter() - begun
    timed.laps.end("end")
    watch.report(report["rows"], busy=busy, **timed.laps.found)


def _bare(options: argparse.Namespace) -> None:
    """Plan, submit everything, wait for the last job, collect everything."""
    config, work = _loaded(options).config, Path(options.work)
    watch, laps = Stopwatch(), _Laps()
    shards = plan(options.folder / "table.parquet", config, work)
    laps.end("plan")
    headers = {"x-goog-api-key": "benchmark"}
    with httpx.Client(base_url=options.url, timeout=60, headers=headers) as client:
        jobs = [submit(client, config, shard, work) for shard in shards]
        laps.end("submit")
        answers = [_wait(client, job) for job in jobs]
        laps.end("wait")
        count = collect(client, answers, options.dimensions, work / "vectors.parquet")
        laps.end("collect")
    canaries = count - pq.ParquetFile(options.folder / "table.parquet").metadata.num_rows
    busy = sum(laps.found[stage] for stage in ("plan", "submit", "collect"))
    watch.report(count - canaries, busy=busy, **laps.found)


def _wait(client: httpx.Client, job: str) -> str:
    while True:
        found = client.get(f"/v1beta/{job}").json()
        if found.get("done"):
            name: str = found["metadata"]["output"]["responsesFile"]
            return name
        time.sleep(0.1)


if __name__ == "__main__":
    main()
