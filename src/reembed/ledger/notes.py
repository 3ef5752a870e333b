"""Advisory progress notes, overwritten as work goes on; they decide nothing and may be lost."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from reembed.errors import StorageError
from reembed.ledger.run_dir import RunDir

EVERY_SECONDS = 1.0


class PlanProgress:
    """Note of how many items and chunks one planning worker has done."""

    def __init__(self, run_dir: RunDir, plan: str) -> None:
        holder = f"{socket.gethostname()[:24]}-{os.getpid()}-{id(self):x}"
        self._storage, self._uri = run_dir.storage, run_dir.layout.plan_progress(plan, holder)
        self._items = self._chunks = 0
        self._last = float("-inf")

    def add(self, items: int, chunks: int) -> None:
        """Count a block, and write the note when the last one is a second old."""
        self._items += items
        self._chunks += chunks
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self.tell()

    def tell(self, last: bool = False) -> None:
        """Write the note."""
        self._last = time.monotonic()
        body = {"schema": 1, "items": self._items, "chunks": self._chunks, "ended": last}
        try:
            self._storage.put(self._uri, orjson.dumps(body))
        except StorageError:
            return


def sum_notes(notes: list[dict[str, Any]]) -> Counter[str]:
    """Add up the numbers of all notes; numbers inside maps under ``map.name``."""
    total: Counter[str] = Counter()
    for note in notes:
        for name, value in note.items():
            if isinstance(value, dict):
                for inner, count in value.items():
                    total[f"{name}.{inner}"] += count
            elif isinstance(value, int) and not isinstance(value, bool) and name != "schema":
                total[name] += value
    return total


def stuck_in(notes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the jobs that hang, by the notes of lanes."""
    return sorted({job for note in notes for job in note.get("stuck_jobs", ())})


def failures_in(notes: Iterable[Mapping[str, Any]]) -> str:
    """Reasons that stopped lanes, each once; empty where nothing did."""
    return "; ".join(sorted({note["failed"] for note in notes if note.get("failed")}))


def reasons_in(notes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Number of shards that lanes have left, by reason."""
    left: Counter[str] = Counter()
    for note in notes:
        left.update(note.get("left", {}))
    return dict(left)
