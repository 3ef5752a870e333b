"""Clock as a seam: the time, and waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Clock that only goes forward."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    def wall(self) -> float:
        """Seconds since the epoch, for reports; decides nothing."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class SystemClock:
    """This machine's clock."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)
