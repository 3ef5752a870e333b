"""ReadItems: from block ranges to blocks of items, read from the plan's listing."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import pyarrow.parquet as pq

from reembed.core.plans import items_of
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage
from reembed.storage.open import open_storage
from reembed.transforms.blocks import Block, BlockRange


def read_items(storage: Storage, uri: str, where: BlockRange) -> Block:
    """Read one block of a stripe's listing."""
    with storage.open(uri) as stream:
        table = pq.read_table(stream)
    rows = table.slice(where.start, where.end - where.start)
    return Block(where.stripe, tuple(items_of(rows)))


class ReadItems(beam.PTransform):
    """Block ranges in, blocks of items out.

    Args:
        layout: names under the run directory.
        plan: the plan's id.
    """

    def __init__(self, layout: Layout, plan: str) -> None:
        super().__init__()
        self._layout, self._plan = layout, plan

    def expand(self, ranges: beam.PCollection[BlockRange]) -> beam.PCollection[Block]:
        """Spread the ranges over the workers, then read."""
        return (
            ranges
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(_Read(self._layout, self._plan))  # Block
        )


class _Read(beam.DoFn):
    def __init__(self, layout: Layout, plan: str) -> None:
        self._layout, self._plan = layout, plan
        self._storage = open_storage()

    def process(self, element: BlockRange) -> Iterator[Block]:
        yield read_items(self._storage, self._layout.listing(self._plan, element.stripe), element)
