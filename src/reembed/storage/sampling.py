"""A deterministic subset of the items: the same keys on every machine and every day."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence

from reembed.errors import UsageError
from reembed.types import Item


def sample_items(items: Sequence[Item], count: int) -> list[Item]:
    """Take the `count` items whose keys have the smallest SHA-256, in the order they came.

    Positions stay those of the full listing, so that the order compares with a later full run;
    a larger sample holds every smaller one.

    Raises:
        UsageError: the count is not positive.
    """
    if count < 1:
        raise UsageError(f"a sample of {count} items: give 1 or more")
    hashed = ((hashlib.sha256(item.key.encode()).digest(), i) for i, item in enumerate(items))
    chosen = sorted(index for _, index in heapq.nsmallest(count, hashed))
    return [items[index] for index in chosen]
