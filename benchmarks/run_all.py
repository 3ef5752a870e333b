"""Run every benchmark that has a mark and print the table of `docs/performance.md`."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import orjson

from sides import Mark, say

_HERE = Path(__file__).parent
_HELP_ROUNDS = 7

# Name, script, arguments at full size, arguments that only show that it runs.
_COLLECT = ("sides", "workers", "memory", "one-shard")
_FEW = ("--per-shard", "60", "--dimensions", "64")
_ALL: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "collect": (
        "collect/run.py",
        ["--what", *_COLLECT],
        ["--what", *_COLLECT, "--rounds", "1", "--shards", "2", *_FEW, "--largest", "130"],
    ),
    "plan": ("plan/run.py", [], ["--rows", "30", "--rounds", "1"]),
    "submit": ("submit/run.py", [], ["--rows", "30", "--rounds", "1"]),
    "media": ("media/run.py", [], ["--corpora", "1", "--rounds", "1"]),
    "whole": ("whole/run.py", [], ["--rows", "30", "--dimensions", "128", "--rounds", "1"]),
}


def main() -> None:
    options = _options()
    marks: list[Mark] = []
    for name in options.only:
        marks += _marks_of(name, options)
    marks.append(_help())
    _say_table(marks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(_ALL), default=list(_ALL))
    parser.add_argument("--tiny", action="store_true", help="do they run at all")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    return parser.parse_args()


def _marks_of(name: str, options: argparse.Namespace) -> list[Mark]:
    script, full, tiny = _ALL[name]
    say(f"\n== {name}")
    with tempfile.TemporaryDirectory(prefix="marks-", dir=options.folder) as folder:
        place = Path(folder) / "marks.json"
        command = [sys.executable, str(_HERE / script), *(tiny if options.tiny else full)]
        subprocess.run([*command, "--marks", str(place), "--folder", folder], check=True)
        return [Mark(**one) for one in orjson.loads(place.read_bytes())]


def _help() -> Mark:
    """How long the command takes to say what it can do."""
    command = [str(Path(sys.executable).parent / "reembed"), "--help"]
    seconds = []
    for _ in range(_HELP_ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return Mark("`reembed --help`", "< 0.4 s", f"{statistics.median(seconds):.2f} s", "")


def _say_table(marks: Sequence[Mark]) -> None:
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    say(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {cores} cores, load {load:.1f} at the end"
    )
    say("\n| what | mark | in time | in CPU |\n|---|---|---|---|")
    for mark in marks:
        row = asdict(mark)
        if row["said"]:
            row["wall"] = row["said"]
        say(f"| {row['what']} | {row['mark']} | {row['wall']} | {row['cpu']} |")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
