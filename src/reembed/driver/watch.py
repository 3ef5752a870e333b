"""The seam by which a lane is seen from outside: events, and how old what is pending is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a lane did or met, in the words of the ledger.

    `counts` says what it adds to the counters of its lane; dollars are in billionths (`nano_usd`).
    `grave` events deserve somebody's attention.
    """

    name: str
    shard: str
    attempt: str = ""
    job: str = ""
    why: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    grave: bool = False


class Watch(Protocol):
    """Is told what a lane does, always on the thread that drives the lane."""

    def saw(self, event: Event) -> None:
        """Something happened, once."""

    def pending(self, seconds: int) -> None:
        """The oldest job of this lane that has not ended is so old; 0 where none is pending."""


class Unwatched:
    """Nobody watches."""

    def saw(self, event: Event) -> None:
        """Pass."""

    def pending(self, seconds: int) -> None:
        """Pass."""
