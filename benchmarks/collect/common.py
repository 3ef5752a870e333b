"""What the sides of the benchmark share: arguments, a stopwatch, the peak of memory."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

DIMENSIONS = 3072
MODEL = "gemini-embedding-2"


@dataclass(frozen=True)
class Task:
    """What a side is told: where the server is, how many vectors wait there, where to work."""

    url: str
    vectors: int
    dimensions: int
    per_shard: int
    folder: Path


def task_from_arguments() -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--vectors", type=int, required=True)
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--per-shard", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    return Task(given.url, given.vectors, given.dimensions, given.per_shard, given.folder)


def warm_up() -> None:
    """Load what libraries load when they are first used: it takes as long as some thousand vectors.

    pyarrow loads pandas where it is installed, and httpx its transport.
    """
    pa.array(np.zeros(1, np.float32))
    importlib.import_module("httpcore")
    importlib.import_module("anyio")


class Stopwatch:
    """Wall and CPU time of a stretch, from the constructor to `report`."""

    def __init__(self) -> None:
        warm_up()
        self._memory = status_bytes("VmRSS")
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self, vectors: int, output_bytes: int) -> None:
        """Tell the parent what was measured, as one line of JSON."""
        measured = {
            "seconds": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
            "vectors": vectors,
            "output_bytes": output_bytes,
            "before_bytes": self._memory,
            "peak_bytes": status_bytes("VmHWM"),
        }
        sys.stdout.write(json.dumps(measured) + "\n")


def status_bytes(name: str) -> int:
    """A figure of this process from /proc.

    getrusage would count the parent's memory at the time of the start as well.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}: this benchmark needs Linux")
