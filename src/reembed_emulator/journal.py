"""The record of what was asked: one line a request in a file, and counts. Never the key."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import orjson


class Journal:
    """Append requests to a file and count them by method, route and status."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._stream = path.open("ab", buffering=0)
        self.counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, entry: dict[str, Any]) -> None:
        """Keep one request; `status` 0 means that no answer was sent."""
        with self._lock:
            self.counts[entry["method"], entry["route"], entry["status"]] += 1
            self._stream.write(orjson.dumps(entry) + b"\n")

    def count(self, route: str, status: int | None = None) -> int:
        """Return how many requests a route had, with one status or with any."""
        with self._lock:
            return sum(
                times
                for (_, name, code), times in self.counts.items()
                if name == route and status in (None, code)
            )

    def summary(self) -> list[dict[str, Any]]:
        """Return the counts as rows."""
        with self._lock:
            return [
                {"method": method, "route": route, "status": status, "count": times}
                for (method, route, status), times in sorted(self.counts.items())
            ]

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
