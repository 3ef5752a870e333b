"""Parquet parts under the run directory as the destination: `vectors/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.config.schema import Config
from reembed.core.schema import ROW
from reembed.destinations.base import EXISTING, Published, SettledRun, drop_older_rejects
from reembed.destinations.parts import write_part
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, RunFailedError
from reembed.ledger.layout import Layout
from reembed.storage.base import Stat, Storage
from reembed.storage.parallel import MAX_CONCURRENT, in_parallel
from reembed.storage.scratch import scratch_folder

T = TypeVar("T")
_BATCH_ROWS = 256
_NAMES = ("key", "content_hash", "part")


def open_parquet_parts(
    config: Config, storage: Storage, say: Callable[[str], None]
) -> ParquetParts:
    """Open the parts under a run directory; nothing about them costs money, so `say` is unused."""
    del say
    return ParquetParts(config, storage, Layout(config.run_dir))


class ParquetParts:
    """All parts of all runs of one run directory.

    Args:
        config: how parts are written.
        storage: where they lie.
        layout: names under the run directory.
    """

    def __init__(self, config: Config, storage: Storage, layout: Layout) -> None:
        self._config, self._storage, self._layout = config, storage, layout

    def check(self) -> None:
        """Nothing to refuse: rows of another model never count as held, and stay apart."""

    def identity(self) -> Iterator[bytes]:
        """Every part in its generation."""
        for stat in self._parts():
            yield orjson.dumps([stat.uri.rsplit("/", 1)[1], stat.generation])

    def existing(self) -> Iterator[pa.RecordBatch]:
        """The rows of all parts, by the columns that say what is there."""
        for _, table in self._said(self._parts()):
            yield from table.to_batches()

    def rows(self, keys: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """The rows of some keys; a part without any of them is read by its keys alone."""
        wanted = pa.array(sorted(set(keys)), pa.string())

        def read(stat: Stat) -> list[pa.Table]:
            with self._storage.open(stat.uri, stat.generation) as stream:
                return list(_rows_of(pq.ParquetFile(stream, pre_buffer=False), wanted))

        for _, tables in self._each(self._parts(), read):
            for table in tables:
                yield from table.to_batches(max_chunksize=_BATCH_ROWS)

    def publish(self, settled: SettledRun, removed: Iterable[str]) -> Published:
        """Take older rows out of the parts of earlier runs; the run's own parts stand already.

        Rejects of earlier runs go too: the run has looked at every input anew.
        """
        commit = settled.commit
        drop_older_rejects(self._storage, self._layout, commit)
        before = [stat for stat in self._parts() if not self._is_of(stat, commit)]
        if not before:
            return Published(inserted=settled.rows)
        ours = (stat for stat in self._parts() if self._is_of(stat, commit))
        given = _GivenWay.to((table for _, table in self._said(list(ours))), frozenset(removed))
        replaced = deleted = 0
        with scratch_folder() as folder:
            for stat, table in self._said(before):
                rows = given.of(table)
                if rows is not None:
                    self._thin(stat, rows, folder)
                    replaced, deleted = replaced + rows.replaced, deleted + rows.deleted
        return Published(settled.rows, replaced, deleted)

    def _parts(self) -> list[Stat]:
        return list(self._storage.list(f"{self._layout.run_dir}/vectors/part-"))

    def _is_of(self, stat: Stat, commit: int) -> bool:
        return stat.uri.rsplit("/", 1)[1].startswith(f"part-{commit:04}-")

    def _said(self, parts: Sequence[Stat]) -> Iterator[tuple[Stat, pa.Table]]:
        """Parts with the columns that say what is there, `EXISTING`; many are read at once."""

        def read(stat: Stat) -> pa.Table:
            with self._storage.open(stat.uri, stat.generation) as stream:
                # Arrow would read ahead in a pool of its own, which is smaller than ours.
                file = pq.ParquetFile(stream, pre_buffer=False)
                return file.read(EXISTING.names, use_threads=False).cast(EXISTING)

        return self._each(parts, read)

    def _each(self, parts: Sequence[Stat], read: Callable[[Stat], T]) -> Iterator[tuple[Stat, T]]:
        """What is read of each part, in order; many are read at once."""
        for start in range(0, len(parts), MAX_CONCURRENT):
            some = parts[start : start + MAX_CONCURRENT]
            yield from zip(some, in_parallel(read, some), strict=True)

    def _thin(self, stat: Stat, rows: _Rows, folder: Path) -> None:
        """Write one part again without the rows that are replaced or removed."""
        local = folder / stat.uri.rsplit("/", 1)[1]
        with self._storage.open(stat.uri, stat.generation) as stream:
            self._write(pq.ParquetFile(stream), rows.keep, local)
        try:
            if pc.any(rows.keep).as_py():
                self._storage.publish(local, stat.uri, replace=stat.generation)
            else:
                self._storage.delete(stat.uri)
        except (AlreadyExistsError, ObjectNotFoundError) as err:
            raise RunFailedError(
                f"{stat.uri} was changed by somebody else while its replaced rows were taken out; "
                "run again"
            ) from err
        finally:
            local.unlink(missing_ok=True)

    def _write(self, file: pq.ParquetFile, keep: pa.BooleanArray, local: Path) -> None:
        kept_metadata = file.metadata.metadata or {}
        metadata = {
            name.decode(): value.decode()
            for name, value in kept_metadata.items()
            if name.startswith(b"reembed.")
        }

        def kept() -> Iterator[pa.RecordBatch]:
            at = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                mask = keep.slice(at, batch.num_rows)
                at += batch.num_rows
                rows = batch.filter(mask)
                if rows.num_rows:
                    yield rows.cast(ROW)

        write_part(local, kept(), metadata, self._config.destination.parquet.compression)


def _rows_of(file: pq.ParquetFile, wanted: pa.Array) -> Iterator[pa.Table]:
    for group in range(file.num_row_groups):
        keys = file.read_row_group(group, ["key"], use_threads=False).column("key")
        there = pc.is_in(keys, wanted)
        if pc.any(there).as_py():
            yield file.read_row_group(group, ROW.names, use_threads=False).filter(there).cast(ROW)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a part that stay, and how many are replaced or deleted."""

    keep: pa.BooleanArray
    replaced: int
    deleted: int


@dataclass(frozen=True, slots=True)
class _GivenWay:
    """Which rows give way: `contents` and `parts` of the keys that a run wrote; `removed` keys."""

    contents: Mapping[str, str]
    parts: Set[tuple[str, int]]
    removed: Set[str]

    @classmethod
    def to(cls, fresh: Iterable[pa.Table], removed: Set[str]) -> _GivenWay:
        """What gives way to the rows that a run wrote; an item has one content."""
        contents: dict[str, str] = {}
        parts: set[tuple[str, int]] = set()
        for table in fresh:
            keys, hashes, numbers = (table.column(name).to_pylist() for name in _NAMES)
            contents.update(zip(keys, hashes, strict=True))
            parts.update(zip(keys, numbers, strict=True))
        return cls(contents, parts, removed)

    def of(self, there: pa.Table) -> _Rows | None:
        """What becomes of the rows of a part; None where all stay."""
        keys = there.column("key").to_pylist()
        if not any(key in self.contents or key in self.removed for key in keys):
            return None
        rest = (there.column(name).to_pylist() for name in _NAMES[1:])
        replaced = [self._replaces(*row) for row in zip(keys, *rest, strict=True)]
        deleted = [k in self.removed and not r for k, r in zip(keys, replaced, strict=True)]
        keep = [not (r or d) for r, d in zip(replaced, deleted, strict=True)]
        if all(keep):
            return None
        return _Rows(pa.array(keep, pa.bool_()), sum(replaced), sum(deleted))

    def _replaces(self, key: str, content: str, part: int) -> bool:
        """Whether the key was written anew, with other content or in this very part."""
        if key not in self.contents:
            return False
        return self.contents[key] != content or (key, part) in self.parts
