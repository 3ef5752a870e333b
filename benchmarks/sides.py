"""Run the sides of a benchmark side by side: each in a process of its own, rounds interleaved."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Times = dict[str, Any]


@dataclass(frozen=True)
class Mark:
    """One row of `docs/performance.md`: what was asked for, and what came out."""

    what: str
    mark: str
    wall: str
    cpu: str
    said: str = ""


class Stopwatch:
    """Wall time, CPU time and memory of a stretch of this process; its children's CPU too."""

    def __init__(self) -> None:
        self._before = status_bytes("VmRSS")
        self._wall, self._cpu = time.perf_counter(), _cpu()

    def report(self, units: int, **more: Any) -> None:
        """Tell the parent what was measured, as one line of JSON."""
        measured = {
            "seconds": time.perf_counter() - self._wall,
            "cpu": _cpu() - self._cpu,
            "units": units,
            "before_bytes": self._before,
            "peak_bytes": status_bytes("VmHWM"),
            **more,
        }
        say(json.dumps(measured))


def _cpu() -> float:
    # os.times counts in hundredths of a second; only for children is there nothing finer.
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def status_bytes(name: str) -> int:
    """A figure of this process from /proc.

    getrusage would count the parent's memory at the time of the start as well.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}: this benchmark needs Linux")


def pin(place: int) -> Callable[[], None]:
    """What keeps a new process on one core: the first (0) or the last (-1) that we may use."""
    core = sorted(os.sched_getaffinity(0))[place]
    return lambda: os.sched_setaffinity(0, {core})


def run_side(command: Sequence[str], place: int | None = -1) -> Times:
    """Run one side to its end; its last line is what it measured."""
    done = subprocess.run(
        [sys.executable, *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=None if place is None else pin(place),
    )
    found: Times = json.loads(done.stdout.splitlines()[-1])
    return found


def interleave(
    sides: Sequence[str], rounds: int, run: Callable[[str], Times]
) -> dict[str, list[Times]]:
    """Run every side once a round; who goes first takes turns."""
    measured: dict[str, list[Times]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else tuple(reversed(sides)):
            found = run(side)
            measured[side].append(found)
            rate = found["units"] / found["seconds"]
            say(f"round {number + 1}: {side:12} {rate:10,.1f}/s {found['cpu']:8.2f} s of CPU")
    return measured


def middle(rounds: Sequence[Times], name: str) -> float:
    """The median of a figure."""
    return statistics.median(one[name] for one in rounds)


def table(measured: dict[str, list[Times]], unit: str) -> None:
    """Print medians: units a second, CPU microseconds a unit, peak of memory."""
    say(f"\nside            {unit + '/s':>14} {'CPU us each':>14} {'peak MB':>9}")
    for side, rounds in measured.items():
        units = middle(rounds, "units")
        rate, cpu = units / middle(rounds, "seconds"), middle(rounds, "cpu") / units * 1e6
        say(f"{side:15} {rate:14,.1f} {cpu:14,.1f} {middle(rounds, 'peak_bytes') / 1e6:9,.0f}")


def ratio(measured: dict[str, list[Times]], ours: str, theirs: str, name: str) -> str:
    """How many times as fast ours is: the median over the rounds, and their span."""
    pairs = zip(measured[ours], measured[theirs], strict=True)
    found = [other[name] / one[name] * one["units"] / other["units"] for one, other in pairs]
    return f"{statistics.median(found):.2f} × ({min(found):.2f} to {max(found):.2f})"


def compare(measured: dict[str, list[Times]], ours: str, theirs: str, what: str, mark: str) -> Mark:
    """Print and return the ratio of two sides."""
    wall, cpu = (ratio(measured, ours, theirs, name) for name in ("seconds", "cpu"))
    say(f"{ours} / {theirs}: {wall} in time, {cpu} in CPU")
    return Mark(what, mark, wall, cpu)


def keep(marks: Sequence[Mark], place: Path | None) -> None:
    """Write marks where `run_all.py` asked for them."""
    if place is not None:
        place.write_text(json.dumps([asdict(mark) for mark in marks]))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
