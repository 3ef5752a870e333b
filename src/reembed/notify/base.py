"""What a channel to people is, and how often it is tried."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import tenacity

from reembed.errors import NotToldError

logger = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the body, and beside it what a small script wants to know."""

    body: bytes
    event: str
    run: str


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """What it is called in records: ``webhook`` or ``command``."""

    def send(self, message: Message) -> None:
        """Send once.

        Raises:
            NotToldError: it did not arrive for certain; it says whether a repeat may help.
        """


def send_patiently(
    channel: Channel,
    message: Message,
    attempts: int,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send, and again with growing waits where a repeat may help.

    Raises:
        NotToldError: the last one.
    """
    tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_repeat),
        wait=tenacity.wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        stop=tenacity.stop_after_attempt(attempts),
        sleep=sleep,
        before_sleep=_tell,
        reraise=True,
    )(channel.send, message)


def _may_repeat(error: BaseException) -> bool:
    return isinstance(error, NotToldError) and error.transient


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info("attempt %d to notify failed: %s", state.attempt_number, error)
