"""Read a plan's partitions and shards from a run directory, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from reembed.core.plans import PartitionPlan, ShardPlan
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage
from reembed.storage.parallel import MAX_CONCURRENT, in_parallel

# Partitions of a plan that are read together: enough for every thread, little in memory.
_PARTITIONS = 8 * MAX_CONCURRENT


def partitions_in(
    storage: Storage, layout: Layout, plan: str, only: Iterable[str] | None = None
) -> Iterator[PartitionPlan]:
    """The partitions of a plan, all or only these, in input order, read many at a time."""
    if only is None:
        names = iter([stat.uri for stat in storage.list(layout.partitions(plan))])
    else:
        names = iter([layout.partition(plan, int(partition)) for partition in sorted(only)])
    while batch := list(islice(names, _PARTITIONS)):
        for name, data in zip(batch, in_parallel(storage.read, batch), strict=True):
            yield PartitionPlan.decode(data, name)


def shards_of(
    storage: Storage, layout: Layout, plan: str, partitions: Iterable[str] | None = None
) -> Iterator[ShardPlan]:
    """The shards of a plan, or of these partitions of it, in input order."""
    for partition in partitions_in(storage, layout, plan, partitions):
        yield from partition.shards
