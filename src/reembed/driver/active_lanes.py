"""Count active lanes, for graceful shutdown."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class ActiveLanes:
    """Counts lanes as they begin and end; safe among threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count a lane for as long as the block runs."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def wait_for_none(self, seconds: float) -> bool:
        """Wait until no lane is at work here; False when the time is over before."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)

    def _add(self, number: int) -> None:
        with self._changed:
            self._count += number
            self._changed.notify_all()
