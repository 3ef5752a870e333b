"""Clocks that run as a test wants, in place of this machine's."""

from __future__ import annotations

import time
from collections.abc import Callable

from reembed.driver.interrupt import Interrupt


class QuickClock:
    """A clock that runs `speed` times as fast as this machine's, and sleeps as much less."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def now(self) -> float:
        return time.monotonic() * self.speed

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


class JumpingClock:
    """A clock that stands still, but jumps where somebody sleeps; then `slept` is called."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.slept()


class Until(Interrupt):
    """An interrupt that is set when a clock has reached a time."""

    def __init__(self, clock: JumpingClock, at: float) -> None:
        super().__init__()
        self._clock, self._at = clock, at

    def is_set(self) -> bool:
        return self._clock.at >= self._at
