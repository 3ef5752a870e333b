"""What every source offers: a name for its state, shares to read, and the items of a share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from reembed.config.base import Section
from reembed.config.load import LoadedConfig
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage
from reembed.types import Item

# Items of one block: small enough to spread media over workers, large enough for short texts.
BLOCK_ITEMS = 64
# Rows of a table that hold their text are cheap: fewer, larger elements.
BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A share of a source that one worker reads on its own.

    `uri` and `generation` name the file (or stream) that holds it, `start` and `end` (half-open)
    the rows in it, `first` the position's index of row `start`. Of a manifest `start` and `end`
    are byte offsets, and `line` is the number of the line at `start`, from 1.
    """

    uri: str
    start: int
    end: int
    first: int = 0
    generation: str = ""
    line: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """Some items of one partition, in any order: their positions say theirs.

    `ranked` says that the offsets of these positions are given when the partition is together: the
    ranks of their keys among those of all ranked blocks of the partition.
    """

    partition: int
    items: tuple[Item, ...]
    ranked: bool = False


class Reader(Protocol):
    """Reads spans on a worker; picklable."""

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """The items of one span.

        Raises:
            StorageError, BigQueryError: it cannot be read, or is not in the state that was
                prepared.
        """


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source made ready for one plan: what reads it, its spans, how many items they hold.

    `items` is what the source itself counted, by its own means, so that an engine that loses
    elements is found out.
    """

    reader: Reader
    spans: tuple[Span, ...]
    items: int


class Source(Protocol):
    """A source, opened for one configuration.

    `unique` says that opening it has shown every key to be there once; otherwise the plan checks
    the keys of what was read.
    """

    @property
    def unique(self) -> bool:
        """See above."""

    def identity(self) -> Iterator[bytes]:
        """What names the present state of the source: the same state gives the same bytes."""

    def prepare(self, storage: Storage, layout: Layout, plan: str) -> Prepared:
        """Make ready for reading; what is written lies under the plan's folder."""

    def describe(self) -> str:
        """The source in a few words, with its size, for `doctor`."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Entry of the table `SOURCES`.

    `open` makes the source of a configuration and checks all that can be checked for free.
    `section` is the model of the kind's section below ``source:``; None for the kinds of this
    package, whose sections are fields of `SourceConfig`. `samples` says that the source keeps to
    ``source.sample`` (see `sources.rows.sample_digest`); others refuse it.
    """

    open: Callable[[LoadedConfig, Storage], Source]
    section: type[Section] | None = None
    samples: bool = False


def cut_blocks(
    items: Sequence[Item], partition: int, size: int, *, ranked: bool = False
) -> Iterator[Block]:
    """Items of one partition in blocks of at most `size`."""
    for start in range(0, len(items), size):
        yield Block(partition, tuple(items[start : start + size]), ranked)
