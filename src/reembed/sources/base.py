"""Interface of a source: identity of its state, spans to read, and the items of a span."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from reembed.config.base import Section
from reembed.config.load import ResolvedConfig
from reembed.ledger.run_dir import RunDir
from reembed.storage.base import Storage
from reembed.types import Item

# Items of a block: few, so that media are spread over workers; enough, so that short texts do not
# cost an element each.
BLOCK_ITEMS = 64
# Rows that hold their text themselves are cheap: fewer, larger elements.
BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a source that one worker reads on its own.

    `uri` and `generation` name the file (or stream) that holds it, `start` and `end` (half-open)
    the rows in it; `first` is the index that row `start` has in the whole source. Of a manifest
    `start` and `end` are byte offsets, and `line` is the number of the line at `start`, from 1.
    """

    uri: str
    start: int
    end: int
    first: int = 0
    generation: str = ""
    line: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """Items of one partition, in any order: their positions have it.

    `ranked` says that the offsets of these positions are set when the partition is complete: to
    the ranks of their keys among those of all ranked blocks of the partition.
    """

    partition: int
    items: tuple[Item, ...]
    ranked: bool = False


class Reader(Protocol):
    """Reads spans on a worker; picklable."""

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """Read the items of one span; the same each time.

        Raises:
            StorageError, BigQueryError: it cannot be read, or is in another state than prepared.
        """


@dataclass(frozen=True, slots=True)
class Prepared:
    """Source prepared for one plan: its reader, its spans, and the number of items in them.

    `items` is counted by the source itself and compared with what the pipeline brings: an engine
    that loses elements and says DONE would otherwise leave out inputs unnoticed.
    """

    reader: Reader
    spans: tuple[Span, ...]
    items: int


class Source(Protocol):
    """Source of items, opened for one configuration.

    `unique`: opening or preparing it has shown that no key comes twice. Where False, the plan
    checks the keys of all items, which costs a shuffle.
    """

    @property
    def unique(self) -> bool:
        """True where no key can come twice."""

    def identity(self) -> Iterator[bytes]:
        """Name the present state of the source: the same state gives the same bytes."""

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Prepare it for reading; whatever is written lies under the plan's folder."""

    def describe(self) -> str:
        """Describe the source in a few words, with its size, for `doctor`."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Entry of the table `SOURCES`.

    `open` makes the source of a configuration and checks all that can be checked for free.
    `section` is the model of the kind's section below ``source:``; None for the kinds of this
    package, whose sections are fields of `SourceConfig`. `samples` says that the source keeps to
    ``source.sample`` (see `storage.listing.sample_digest`); others refuse it.
    """

    open: Callable[[ResolvedConfig, Storage], Source]
    section: type[Section] | None = None
    samples: bool = False


def cut_blocks(
    items: Sequence[Item], partition: int, size: int, *, ranked: bool = False
) -> Iterator[Block]:
    """Cut items of one partition into blocks of at most `size`."""
    for start in range(0, len(items), size):
        yield Block(partition, tuple(items[start : start + size]), ranked)
