"""Interrupt of the lanes that run in one process, for graceful shutdown."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Interrupt:
    """Asks lanes to leave, and counts those that have not yet; safe among threads.

    Once set, lanes begin nothing new, take back what they have not sent, and leave; what runs
    remotely goes on there. Whoever sets it makes one for each call and gives it down to the lanes.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._changed = threading.Condition()
        self._lanes = 0

    def set(self) -> None:
        """Ask the lanes to leave."""
        self._event.set()

    def is_set(self) -> bool:
        """Tell whether the lanes were asked to leave."""
        return self._event.is_set()

    @contextlib.contextmanager
    def lane(self) -> Iterator[None]:
        """Count a lane for as long as the block runs."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def wait_for_lanes(self, seconds: float) -> bool:
        """Wait until no lane runs any more; False when the time is over before.

        A process that ended at once would leave claims that the next call has to wait out.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._lanes == 0, seconds)

    def _add(self, number: int) -> None:
        with self._changed:
            self._lanes += number
            self._changed.notify_all()
