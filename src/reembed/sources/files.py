"""`source.files`: files that match patterns, with their sidecars, sorted by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.load import LoadedConfig
from reembed.core.names import partition_of
from reembed.core.plans import items_of, listing_table
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import BLOCK_ITEMS, Block, Prepared, SourceKind, Span
from reembed.sources.sidecars import (
    Sidecars,
    find_manifest,
    with_sidecar_files,
    with_sidecar_manifest,
)
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage
from reembed.storage.listing import list_files, sample_items
from reembed.types import Item

# A span reads the row groups that it touches, so these must not be much larger than a span.
_GROUP_ROWS = 512


@dataclass(frozen=True, slots=True)
class ListingSource:
    """Items that are known one by one, in input order; written into the plan as its listing.

    `note` is added to the description, for instance about sidecars that are missing.
    """

    items: Sequence[Item]
    unique: bool = True
    note: str = ""

    def identity(self) -> Iterator[bytes]:
        """Every item, with its generation."""
        for item in self.items:
            yield orjson.dumps(asdict(item))

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Write the listing, a file a partition."""
        # A file a partition: a span then reads one small file, wherever it lies in the source.
        by_partition: dict[int, list[Item]] = {}
        for item in self.items:
            by_partition.setdefault(partition_of(item.position.index), []).append(item)
        spans: list[Span] = []
        for partition, members in sorted(by_partition.items()):
            buffer = pa.BufferOutputStream()
            table = listing_table(members)
            pq.write_table(table, buffer, compression="zstd", row_group_size=_GROUP_ROWS)
            uri = run_dir.layout.listing(plan, partition)
            run_dir.storage.put(uri, buffer.getvalue().to_pybytes())
            spans += [
                Span(uri, start, min(start + BLOCK_ITEMS, len(members)), partition)
                for start in range(0, len(members), BLOCK_ITEMS)
            ]
        return Prepared(ListingReader(), tuple(spans), len(self.items))

    def describe(self) -> str:
        """Number of items, and their size."""
        size = sum(item.size for item in self.items)
        note = f"; {self.note}" if self.note else ""
        return f"{len(self.items):,} items, {size / 1e6:,.1f} MB{note}"


class ListingReader:
    """Reads rows of a written listing; `first` of its spans is the partition."""

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """Read the one block of a span."""
        with storage.open(span.uri) as stream:
            file = pq.ParquetFile(stream)
            first = span.start // _GROUP_ROWS
            last = (span.end - 1) // _GROUP_ROWS
            rows = file.read_row_groups(list(range(first, last + 1)), use_threads=False)
        table = rows.slice(span.start - first * _GROUP_ROWS, span.end - span.start)
        yield Block(span.first, tuple(items_of(table)))


def open_files(loaded: LoadedConfig, storage: Storage) -> ListingSource:
    """List the files of a configuration; the run directory is no input.

    Raises:
        UsageError: a pattern matches nothing, two inputs have one key, the manifest of the
            sidecar cannot be read.
    """
    config = loaded.config
    items = list_files(config.source.files, storage, loaded.base, exclude=(config.run_dir,))
    sidecar, note = config.source.sidecar, ""
    if sidecar is not None:
        described = _with_sidecars(items, sidecar, loaded, storage)
        items, note = described.items, described.note
    sample = config.source.sample
    return ListingSource(items if sample is None else sample_items(items, sample), note=note)


FILES: Final = SourceKind(open_files, samples=True)


def _with_sidecars(
    items: list[Item], sidecar: str, loaded: LoadedConfig, storage: Storage
) -> Sidecars:
    if sidecar == "json":
        return with_sidecar_files(items, storage)
    found = list_files((sidecar,), storage, loaded.base, exclude=(loaded.config.run_dir,))
    manifest = find_manifest(found, sidecar)
    return with_sidecar_manifest(items, manifest, storage, Resolver(str(loaded.base)))
