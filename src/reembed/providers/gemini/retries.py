"""Retry policy of reads: which may be repeated, and the pause before it."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import tenacity

from reembed.errors import QuotaError, ServiceError, TransientError

T = TypeVar("T")
logger = logging.getLogger(__name__)

_SECONDS = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)s?\s*")


def uniform() -> float:
    """Draw a number from 0 to below 1: the default jitter, which only spreads callers in time."""
    return random.random()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Policy of repeating calls that are free to repeat, with growing waits; never for a create.

    Attributes:
        attempts: calls in all.
        base: seconds before the second call; doubled before each next one.
        cap: the longest single wait in seconds that is not asked for by the service.
        total: seconds waited in all; a Retry-After that would pass it ends the attempts at once.
        sleep: waits for so many seconds.
        jitter: a number from 0 to 1 that takes up to half off each wait.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 32.0
    total: float = 180.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = uniform

    def run(self, call: Callable[[], T]) -> T:
        """Call until it returns; raises the last error when attempts or time are used up."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_repeat),
            wait=self._wait,
            stop=self._used_up,
            sleep=self.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(call)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        full: float = min(self.cap, self.base * 2 ** (state.attempt_number - 1))
        spread = full * (1 - 0.5 * self.jitter())
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ServiceError) else None
        # Jitter goes on top of what the service asked for: less would be asking too early.
        return spread if asked is None else asked + (full - spread)

    def _used_up(self, state: tenacity.RetryCallState) -> bool:
        if state.attempt_number >= self.attempts:
            return True
        return state.idle_for + state.upcoming_sleep > self.total


def may_repeat(error: BaseException) -> bool:
    """Tell whether the same read may succeed later: 5xx, cut connections and 429."""
    return isinstance(error, TransientError | QuotaError)


def retry_after(headers: Mapping[str, str], details: object) -> float | None:
    """Read the seconds that an answer asks to wait, from Retry-After or google.rpc.RetryInfo.

    A Retry-After date is measured against the answer's own Date, so that a wrong clock on this
    machine does not matter; without a Date it says nothing.

    Args:
        headers: of the answer, looked up without regard to case by the mapping itself.
        details: ``error.details`` of the answer's JSON, whatever it is.
    """
    given = headers.get("retry-after", "")
    plain = _SECONDS.fullmatch(given)
    if plain and not given.strip().endswith("s"):
        return float(plain[1])
    if given and (dated := _until(given, headers.get("date", ""))) is not None:
        return dated
    return _retry_info(details)


def _until(then: str, now: str) -> float | None:
    try:
        seconds = (parsedate_to_datetime(then) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds)


def _retry_info(details: object) -> float | None:
    for detail in details if isinstance(details, list) else ():
        delay: Any = detail.get("retryDelay") if isinstance(detail, dict) else None
        match = _SECONDS.fullmatch(delay) if isinstance(delay, str) else None
        if match:
            return float(match[1])
    return None


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info(
        "attempt %d failed, again in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error
    )
