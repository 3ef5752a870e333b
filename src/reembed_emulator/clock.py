"""Time as the emulated service sees it: the real time plus what a test has skipped."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Tell the time in seconds since 1970, moved forward on request."""

    def __init__(self, offset: float = 0.0, now: Callable[[], float] = time.time) -> None:
        self.offset = offset
        self._now = now

    def now(self) -> float:
        """Return the current time in seconds since 1970."""
        return self._now() + self.offset

    def advance(self, seconds: float) -> None:
        """Move forward; raise ValueError for a step backward."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: the clock moves forward only")
        self.offset += seconds


def timestamp(seconds: float) -> str:
    """Return RFC 3339 text in UTC with nine digits, as the service writes it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"
