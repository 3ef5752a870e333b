"""What the sides of the benchmark share: their task, and what libraries load late."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

import sides

DIMENSIONS = 3072
MODEL = "gemini-embedding-2"


@dataclass(frozen=True)
class Task:
    """What a side is told: where the server is, how many shards wait there, where to work."""

    url: str
    shards: int
    per_shard: int
    dimensions: int
    folder: Path

    @property
    def vectors(self) -> int:
        return self.shards * self.per_shard


def task_from_arguments() -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--per-shard", type=int, required=True)
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    return Task(given.url, given.shards, given.per_shard, given.dimensions, given.folder)


class Stopwatch(sides.Stopwatch):
    """Starts when libraries have loaded what they load at their first use.

    pyarrow loads pandas where it is installed, and httpx its transport: as long as thousands of
    vectors take.
    """

    def __init__(self) -> None:
        pa.array(np.zeros(1, np.float32))
        importlib.import_module("httpcore")
        importlib.import_module("anyio")
        super().__init__()
