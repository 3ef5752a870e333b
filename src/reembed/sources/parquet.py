"""`source.parquet`: Parquet files, a row an input; read by row groups, configured columns only."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.load import LoadedConfig
from reembed.config.source import ParquetSource
from reembed.core.names import PARTITION_ITEMS, partition_of
from reembed.errors import ObjectNotFoundError, UsageError
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import (
    BLOCK_ITEMS,
    BLOCK_ROWS,
    Block,
    Prepared,
    Source,
    SourceKind,
    Span,
    cut_blocks,
)
from reembed.sources.rows import check_columns, items_of_rows, with_resolved_uris
from reembed.storage.base import Storage
from reembed.storage.listing import list_files, sample_digest
from reembed.types import Item, Position

_BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class _File:
    """File of the source: its URI and state, and the number of rows in each row group."""

    uri: str
    generation: str
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """Rows of Parquet files, numbered over all of them in the order of their names."""

    columns: ParquetSource
    files: tuple[_File, ...]
    sample: int | None = None
    unique: bool = False

    def identity(self) -> Iterator[bytes]:
        """Every file in its generation."""
        for file in self.files:
            yield orjson.dumps(asdict(file))

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Make a span of each row group; nothing is written."""
        # A row group is the least that can be read by itself.
        spans, rows = [], 0
        for file in self.files:
            for number, count in enumerate(file.groups):
                spans.append(Span(file.uri, number, number + 1, rows, file.generation))
                rows += count
        if self.sample is None:
            return Prepared(ParquetReader(self.columns), tuple(spans), rows)
        chosen = heapq.nsmallest(self.sample, self._digests(run_dir.storage))
        most = chosen[-1] if chosen else b""
        return Prepared(ParquetReader(self.columns, most), tuple(spans), len(chosen))

    def _digests(self, storage: Storage) -> Iterator[bytes]:
        for file in self.files:
            with storage.open(file.uri, file.generation) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(columns=[self.columns.key]):
                    for key in batch.column(0).to_pylist():
                        if key is not None:
                            yield sample_digest(str(key))

    def describe(self) -> str:
        """Number of rows and of files."""
        rows = sum(sum(file.groups) for file in self.files)
        return f"{rows:,} rows in {len(self.files):,} Parquet files"


def open_parquet(loaded: LoadedConfig, storage: Storage) -> Source:
    """List the files and read their footers.

    Raises:
        UsageError: a pattern matches nothing; a file is not Parquet, lacks a column, or has one
            of a type that does not fit.
    """
    config = loaded.config
    columns = config.source.parquet
    assert columns is not None
    items = list_files(columns.files, storage, loaded.base, exclude=(config.run_dir,))
    files = []
    for item in items:
        try:
            with storage.open(item.uri, item.generation) as stream:
                footer = pq.ParquetFile(stream)
        except pa.ArrowInvalid as err:
            raise UsageError(f"{item.uri} is not a Parquet file ({err}); leave it out") from err
        except ObjectNotFoundError as err:
            raise UsageError(f"{item.uri} vanished while it was listed; run again") from err
        check_columns(footer.schema_arrow, columns, item.uri)
        meta = footer.metadata
        groups = tuple(meta.row_group(n).num_rows for n in range(meta.num_row_groups))
        files.append(_File(item.uri, item.generation, groups))
    return with_resolved_uris(
        ParquetRows(columns, tuple(files), config.source.sample), columns, loaded
    )


PARQUET: Final = SourceKind(open_parquet, samples=True)


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Reads one row group a span; `most` is the largest digest that a sample includes."""

    columns: ParquetSource
    most: bytes | None = None

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """Read the items of a row group, in blocks that lie in one partition each."""
        at = span.first
        with storage.open(span.uri, span.generation) as stream:
            batches = pq.ParquetFile(stream).iter_batches(
                batch_size=_BATCH_ROWS,
                row_groups=[span.start],
                columns=list(self.columns.names),
                # The engine runs many spans at once; Arrow's own threads would only compete.
                use_threads=False,
            )
            for batch in batches:
                for start, end in _within_partitions(at, batch.num_rows):
                    rows = batch.slice(start - at, end - start)
                    positions = (Position(number) for number in range(start, end))
                    origin = (span.uri, span.generation)
                    items = items_of_rows(rows, self.columns, origin, positions, self.most)
                    yield from cut_blocks(items, partition_of(start), _block_size(items))
                at += batch.num_rows


def _block_size(items: Sequence[Item]) -> int:
    """Return the size of a block: objects have to be fetched, which many workers share."""
    return BLOCK_ROWS if items and items[0].text is not None else BLOCK_ITEMS


def _within_partitions(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut rows `first` to `first + count` at the borders of partitions, half-open."""
    start, end = first, first + count
    while start < end:
        border = min(end, (start // PARTITION_ITEMS + 1) * PARTITION_ITEMS)
        yield start, border
        start = border
