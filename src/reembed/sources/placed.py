"""A table whose rows name places: the same source, with the places made ones that can be opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reembed.ledger.layout import Layout
from reembed.sources.base import Block, Prepared, Reader, Source, Span
from reembed.sources.rows import placed
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage


@dataclass(frozen=True, slots=True)
class PlacedRows:
    """A source, and how the places in its rows are read."""

    source: Source
    resolver: Resolver

    @property
    def unique(self) -> bool:
        """As the source says."""
        return self.source.unique

    def identity(self) -> Iterator[bytes]:
        """As the source says."""
        return self.source.identity()

    def prepare(self, storage: Storage, layout: Layout, plan: str) -> Prepared:
        """Prepare the source; its reader resolves places."""
        prepared = self.source.prepare(storage, layout, plan)
        return replace(prepared, reader=PlacedReader(prepared.reader, self.resolver))

    def describe(self) -> str:
        """As the source says."""
        return self.source.describe()


@dataclass(frozen=True, slots=True)
class PlacedReader:
    """Reads as another does, and resolves the places of what it read."""

    reader: Reader
    resolver: Resolver

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """The items of a span; one whose place may not be read is a reject."""
        for block in self.reader.read(storage, span):
            yield replace(block, items=tuple(placed(item, self.resolver) for item in block.items))
