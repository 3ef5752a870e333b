"""Read the spans of a source into blocks of items."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
from apache_beam.typehints import with_input_types, with_output_types

from reembed.sources.base import Block, Reader, Span
from reembed.storage.open import open_storage


@with_input_types(Span)
@with_output_types(Block)
class ReadItems(beam.PTransform):
    """Read spans, spread over the workers.

    Input: `Span`. Output: `Block`.

    Args:
        reader: reads spans of the plan's source.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def expand(self, spans: beam.PCollection[Span]) -> beam.PCollection[Block]:
        """Spread the spans over the workers, then read."""
        return spans | "Spread" >> beam.Reshuffle() | "Read" >> beam.ParDo(_Read(self._reader))


@with_input_types(Span)
@with_output_types(Block)
class _Read(beam.DoFn):
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._storage = open_storage()

    def process(self, element: Span) -> Iterator[Block]:
        yield from self._reader.read(self._storage, element)
