"""Read a plan's partitions and shards from a run directory, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from reembed.core.plans import ShardPlan, StripePlan
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage
from reembed.storage.parallel import AT_ONCE, in_parallel

# Partitions of a plan that are read together: enough for every thread, little in memory.
_STRIPES = 8 * AT_ONCE


def stripes_in(
    storage: Storage, layout: Layout, plan: str, only: Iterable[str] | None = None
) -> Iterator[StripePlan]:
    """The stripes of a plan, all or only these, in input order, read many at a time."""
    if only is None:
        names = iter([stat.uri for stat in storage.list(layout.stripes(plan))])
    else:
        names = iter([layout.stripe(plan, int(stripe)) for stripe in sorted(only)])
    while batch := list(islice(names, _STRIPES)):
        for name, data in zip(batch, in_parallel(storage.read, batch), strict=True):
            yield StripePlan.decode(data, name)


def shards_of(
    storage: Storage, layout: Layout, plan: str, stripes: Iterable[str] | None = None
) -> Iterator[ShardPlan]:
    """The shards of a plan, or of these stripes of it, in input order."""
    for stripe in stripes_in(storage, layout, plan, stripes):
        yield from stripe.shards
