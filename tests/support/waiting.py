"""Waiting for what another thread, process or server does: the one place where a test sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Generous, since only a failure waits so long; below the limit of one test, so that the message
# is seen.
DEADLINE = 120.0
_PAUSE = 0.02


def wait_until(
    condition: Callable[[], T],
    message: str | Callable[[], str],
    seconds: float = DEADLINE,
    every: float = _PAUSE,
) -> T:
    """Ask again and again until the answer is true, and return it.

    Args:
        condition: what is asked.
        message: what was waited for, for the failure; or what makes it then, such as from a log.
        seconds: when to give up.
        every: the pause between two questions; shorter to catch a moment.

    Raises:
        AssertionError: it did not come to be in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            text = message if isinstance(message, str) else message()
            raise AssertionError(f"not within {seconds:.0f} s: {text}")
        time.sleep(every)
    return answer
