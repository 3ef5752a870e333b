"""Summary of inputs that have no order: their number, a digest, and borders of key ranges.

Everything here is a function of the set of inputs alone. Engines deliver elements in any order, in
bundles of any size, and deliver bundles again: a plan that depended on any of it could be packed
twice in two ways under one name.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from reembed.core.names import PARTITION_ITEMS

# Keys that borders are taken from. With two in a partition at least, 300 million items stay in
# partitions of a few ten thousand; more would make the summary of every bundle a large element.
SAMPLE_KEYS = 1 << 15
_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True)
class InputSummary:
    """Number of inputs, a digest over all of them, and borders between partitions.

    Partition `n` has the keys from ``borders[n - 1]``, inclusive, to ``borders[n]``, exclusive.
    """

    items: int
    digest: str
    borders: tuple[str, ...]

    def partition_of(self, key: str) -> int:
        """Find the partition of a key."""
        return bisect_right(self.borders, key)


@dataclass(slots=True)
class InputSketch:
    """Mergeable summary of some inputs.

    `total` is the sum of the inputs' SHA-256 hashes, which is the same in any order. `sample` has
    the keys with the smallest hashes: a uniform sample of all keys that is the same however the
    inputs came in bundles, unlike the quantiles that engines approximate.
    """

    items: int = 0
    total: int = 0
    sample: set[tuple[bytes, str]] = field(default_factory=set)

    def add(self, key: str, content: Iterable[str | None]) -> InputSketch:
        """Add one input."""
        line = orjson.dumps([key, *content])
        self.items += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(line).digest())) % _MODULUS
        self.sample.add((hashlib.blake2b(key.encode(), digest_size=8).digest(), key))
        return self._pruned(2 * SAMPLE_KEYS)

    def merge(self, other: InputSketch) -> InputSketch:
        """Add the inputs of another sketch."""
        self.items += other.items
        self.total = (self.total + other.total) % _MODULUS
        self.sample |= other.sample
        return self._pruned(2 * SAMPLE_KEYS)

    def summary(self) -> InputSummary:
        """Sum up."""
        self._pruned(SAMPLE_KEYS)
        keys = sorted(key for _, key in self.sample)
        partitions = min(-(-self.items // PARTITION_ITEMS), len(keys))
        borders = (keys[len(keys) * n // partitions] for n in range(1, partitions))
        return InputSummary(self.items, f"{self.total:064x}", tuple(borders))

    def _pruned(self, most: int) -> InputSketch:
        # Twice as many as are needed may gather, so that sorting is rare.
        if len(self.sample) > most:
            self.sample = set(sorted(self.sample)[:SAMPLE_KEYS])
        return self
