"""The Parquet parts under the run directory as destination: `vectors/`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.config.schema import Config
from reembed.core.schema import ROW
from reembed.destinations.base import HELD, Published, SettledRun
from reembed.destinations.rejects import drop_older_rejects
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, RunFailedError
from reembed.ledger.layout import Layout
from reembed.sinks.parquet import write_part
from reembed.storage.base import Stat, Storage

_BATCH_ROWS = 256


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

    def held(self) -> Iterator[pa.RecordBatch]:
        """The rows of all parts, by the columns that say what is there."""
        for stat in self._parts():
            with self._storage.open(stat.uri, stat.generation) as stream:
                file = pq.ParquetFile(stream)
                yield from file.iter_batches(columns=HELD.names, use_threads=False)

    def rows(self, keys: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """The rows of some keys; a part without any of them is read by its keys alone."""
        wanted = pa.array(sorted(set(keys)), pa.string())
        for stat in self._parts():
            with self._storage.open(stat.uri, stat.generation) as stream:
                file = pq.ParquetFile(stream)
                for group in range(file.num_row_groups):
                    there = pc.is_in(file.read_row_group(group, ["key"]).column("key"), wanted)
                    if not pc.any(there).as_py():
                        continue
                    table = file.read_row_group(group, ROW.names).filter(there)
                    yield from table.cast(ROW).to_batches(max_chunksize=_BATCH_ROWS)

    def publish(self, settled: SettledRun, gone: Iterable[str]) -> Published:
        """Take older rows out of the parts of earlier runs; the run's own parts stand already.

        Rejects of earlier runs go too: the run has looked at every input anew.
        """
        commit = settled.commit
        drop_older_rejects(self._storage, self._layout, commit)
        before = [stat for stat in self._parts() if not self._is_of(stat, commit)]
        if not before:
            return Published(inserted=settled.rows)
        fresh = self._fresh(commit)
        lost = pa.array(sorted(set(gone)), pa.string())
        replaced = deleted = 0
        with tempfile.TemporaryDirectory(prefix="reembed-") as folder:
            for stat in before:
                found = self._thin(stat, fresh, lost, Path(folder))
                replaced, deleted = replaced + found[0], deleted + found[1]
        return Published(settled.rows, replaced, deleted)

    def _parts(self) -> list[Stat]:
        return list(self._storage.list(f"{self._layout.run_dir}/vectors/part-"))

    def _is_of(self, stat: Stat, commit: int) -> bool:
        return stat.uri.rsplit("/", 1)[1].startswith(f"part-{commit:04}-")

    def _fresh(self, commit: int) -> pa.Table:
        """The keys that a run wrote, each with its content: an item has one."""
        tables = []
        for stat in self._parts():
            if self._is_of(stat, commit):
                with self._storage.open(stat.uri) as stream:
                    tables.append(pq.read_table(stream, columns=HELD.names))
        return pa.concat_tables([HELD.empty_table(), *(table.cast(HELD) for table in tables)])

    def _thin(self, stat: Stat, fresh: pa.Table, lost: pa.Array, folder: Path) -> tuple[int, int]:
        """Write one part again without the rows that are replaced or gone; counts of both."""
        with self._storage.open(stat.uri, stat.generation) as stream:
            there = pq.read_table(stream, columns=HELD.names).cast(HELD)
            replaced = _replaced(there, fresh)
            deleted = pc.and_not(pc.is_in(there.column("key"), lost), replaced)
            counts = _sum(replaced), _sum(deleted)
            if not any(counts):
                return 0, 0
            keep = pc.invert(pc.or_(replaced, deleted))
            local = folder / stat.uri.rsplit("/", 1)[1]
            self._write(pq.ParquetFile(stream), keep, local)
        try:
            if _sum(keep):
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
        return counts

    def _write(self, file: pq.ParquetFile, keep: pa.ChunkedArray, local: Path) -> None:
        kept_metadata = file.metadata.metadata or {}
        metadata = {
            name.decode(): value.decode()
            for name, value in kept_metadata.items()
            if name.startswith(b"reembed.")
        }

        def kept() -> Iterator[pa.RecordBatch]:
            at = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                mask = keep.slice(at, batch.num_rows).combine_chunks()
                at += batch.num_rows
                rows = batch.filter(mask)
                if rows.num_rows:
                    yield rows.cast(ROW)

        write_part(local, kept(), metadata, self._config.sink.parquet.compression)


def _replaced(there: pa.Table, fresh: pa.Table) -> pa.ChunkedArray:
    """Which rows give way: their key was written anew, with other content or in this very part."""
    contents = dict(
        zip(fresh.column("key").to_pylist(), fresh.column("content_hash").to_pylist(), strict=True)
    )
    parts = set(zip(fresh.column("key").to_pylist(), fresh.column("part").to_pylist(), strict=True))
    columns = (there.column(name).to_pylist() for name in ("key", "content_hash", "part"))
    gives_way = [
        key in contents and (contents[key] != content or (key, part) in parts)
        for key, content, part in zip(*columns, strict=True)
    ]
    return pa.chunked_array([pa.array(gives_way, pa.bool_())])


def _sum(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
