"""Which stripes have a roll-up that counts, from one listing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reembed.ledger.layout import Layout
from reembed.storage.base import Storage

_NAME = re.compile(r"([0-9]{8})\.g([0-9]+)(\.open)?")


@dataclass(frozen=True, slots=True)
class Standing:
    """The roll-ups that were written, and the newest generation that opened each stripe again."""

    opened: Mapping[str, int]
    written: frozenset[tuple[str, int]]

    def generation(self, stripe: str) -> int:
        """The generation that a roll-up of the stripe must have to count; 0 if never reopened."""
        return self.opened.get(stripe, 0)

    def holds(self, stripe: str) -> bool:
        """Whether a roll-up stands for the stripe's own records."""
        return (stripe, self.generation(stripe)) in self.written


def read_standing(storage: Storage, layout: Layout, commit: int, stripe: str = "") -> Standing:
    """List the roll-ups of a run, or of one stripe."""
    opened: dict[str, int] = {}
    written: set[tuple[str, int]] = set()
    for stat in storage.list(layout.rollups(commit, stripe)):
        match = _NAME.fullmatch(stat.uri.rsplit("/", 1)[1])
        if match is None:
            continue
        name, generation = match.group(1), int(match.group(2))
        if match.group(3):
            opened[name] = max(opened.get(name, 0), generation)
        else:
            written.add((name, generation))
    return Standing(opened, frozenset(written))
