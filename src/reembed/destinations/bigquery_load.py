"""What load jobs read: the parts of a run, in few groups, on Cloud Storage or put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.schema import ROW
from reembed.errors import AlreadyExistsError
from reembed.sinks.parquet import write_part
from reembed.storage.base import Stat, Storage
from reembed.storage.names import is_gs

KEYS: Final = pa.schema([pa.field("key", pa.string(), nullable=False)])
# A job takes 10,000 files and 15 TB, a table 1,500 jobs a day, failed ones too:
# https://cloud.google.com/bigquery/quotas#load_jobs. Bounded below, so that none takes hours.
_MOST_FILES: Final = 10_000
_GS_BYTES: Final = 200 * 10**9
_LOCAL_BYTES: Final = 10**9
_MOST_JOBS: Final = 500
_BATCH_ROWS: Final = 256
_KEYS_AT_ONCE: Final = 100_000


def groups_of(parts: Sequence[Stat]) -> list[tuple[Stat, ...]]:
    """Share parts out to load jobs, in their order; the same parts give the same groups."""
    remote = bool(parts) and is_gs(parts[0].uri)
    most = _GS_BYTES if remote else _LOCAL_BYTES
    most = max(most, sum(part.size for part in parts) // _MOST_JOBS)
    groups: list[list[Stat]] = []
    size = 0
    for part in parts:
        if not groups or size + part.size > most or len(groups[-1]) == _MOST_FILES:
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += part.size
    return [tuple(group) for group in groups]


def stage_parts(storage: Storage, parts: Iterable[Stat], place: str) -> list[Stat]:
    """Put local parts under a place in Cloud Storage; those that are up already stay.

    An upload leaves the local file, which is the run's record.
    """
    up = []
    for part in parts:
        uri = f"{place}/{part.uri.rsplit('/', 1)[1]}"
        try:
            up.append(storage.publish(Path(part.uri), uri))
        except AlreadyExistsError:
            up.append(storage.stat(uri))
    return up


def source_of(group: Sequence[Stat], folder: Path) -> Path | tuple[str, ...]:
    """What one load job reads: URIs, or one local file; several are put together in `folder`."""
    if is_gs(group[0].uri):
        return tuple(part.uri for part in group)
    if len(group) == 1:
        return Path(group[0].uri)
    path = folder / "load.parquet"
    path.unlink(missing_ok=True)
    write_part(path, _rows_of(group), {}, "snappy")
    return path


def write_keys(path: Path, keys: Iterable[str]) -> int:
    """Write keys to a local Parquet file, a column `key`; return how many."""
    count = 0
    with pq.ParquetWriter(path, KEYS) as writer:
        for batch in _sliced(keys):
            writer.write_table(pa.table([pa.array(batch, pa.string())], schema=KEYS))
            count += len(batch)
    return count


def _rows_of(group: Sequence[Stat]) -> Iterator[pa.RecordBatch]:
    for part in group:
        with pq.ParquetFile(part.uri, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield batch.cast(ROW)


def _sliced(keys: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _KEYS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
