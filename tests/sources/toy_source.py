"""A source from another package: ``source: {counted: {items: 5}}``."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from reembed.config.base import Section
from reembed.registry import add
from reembed.sources.base import Block, Prepared, SourceKind, Span
from reembed.types import Item, Position


class Counted(Section):
    items: int = Field(gt=0)


class CountedSource:
    unique = True

    def __init__(self, loaded: Any, storage: Any) -> None:
        self.count = loaded.config.source.added(Counted).items

    def identity(self) -> Iterator[bytes]:
        yield b"numbers never change"

    def prepare(self, *_: Any) -> Prepared:
        return Prepared(self, (Span("counted:", 0, self.count),), self.count)

    def read(self, storage: Any, span: Span) -> Iterator[Block]:
        for n in range(span.start, span.end):
            yield Block(0, (Item(f"n{n}", span.uri, Position(n), text=f"Number {n}."),))

    def describe(self) -> str:
        return f"{self.count} counted items"


add("reembed.sources", "counted", SourceKind(CountedSource, Counted))
