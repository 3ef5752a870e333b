"""Parquet parts of rows and rejects, as DuckDB, pandas, Polars and BigQuery read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.schema import REJECT, ROW, SCHEMA_VERSION

# Bytes of a row group before compression. The writer holds references to that much, so that this
# bounds memory; 2,600 rows of 3,072 values are enough for readers to work in parallel.
_GROUP_BYTES = 32 * 1024 * 1024

# The name of the list's leaf in the file; fixed by the Parquet format's rule for lists.
_EMBEDDING = "embedding.list.element"

# Columns with few different values, worth a dictionary; the writer gives it up by itself where
# there are many.
_REPETITIVE = (
    "key",
    "source_uri",
    "source_index",
    "offset",
    "part",
    "parts",
    "modality",
    "mime_type",
    "unit",
    "title",
    "metadata",
    "content_hash",
    "model",
    "dimensions",
    "task",
    "run",
    "shard",
    "job",
    "attempt",
    "embedded_at",
    "chunker",
    "generation",
    "warnings.list.element",
    "reason",
    "message",
    "stage",
)

# Columns by which readers filter: statistics let them skip row groups.
_FILTERED = ("key", "source_uri", "source_index", "offset", "part", "modality", "embedded_at")


@dataclass(frozen=True, slots=True)
class PartInfo:
    """Size of a written file: rows, and bytes."""

    rows: int
    bytes: int


def part_metadata(
    run: str, model: str, dimensions: int, task: str, chunkers: Iterable[str]
) -> dict[str, str]:
    """Make the key-value metadata of a part, all under ``reembed.``.

    Args:
        run: the run's name.
        model: bare name of the model.
        dimensions: values of a vector.
        task: as configured.
        chunkers: versions of the chunkers at work, such as ``text/1``; sorted and joined.
    """
    return {
        "reembed.schema_version": str(SCHEMA_VERSION),
        "reembed.run": run,
        "reembed.model": model,
        "reembed.dimensions": str(dimensions),
        "reembed.task": task,
        "reembed.chunkers": ",".join(sorted(set(chunkers))),
    }


def write_part(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    metadata: Mapping[str, str],
    compression: str = "zstd",
) -> PartInfo:
    """Write rows to a new local file, which the caller then publishes under its name.

    Embeddings are split into byte streams before compression: floats of similar size share
    their upper bytes, which zstd then compresses (about a sixth smaller than without).

    Args:
        path: a local file that is not there yet.
        batches: schema `ROW`, in order; may be none, which makes a part without rows.
        metadata: kept as the file's key-value metadata.
        compression: a codec of Parquet (zstd, snappy, gzip, lz4, brotli, none).

    Raises:
        FileExistsError: something is at `path`. Any other error leaves no file there.
    """
    return _write(path, ROW, batches, metadata, compression)


def write_rejects(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    metadata: Mapping[str, str],
    compression: str = "zstd",
) -> PartInfo:
    """Write rejects to a new local file; see `write_part`. The batches' schema is `REJECT`."""
    return _write(path, REJECT, batches, metadata, compression)


def read_batches(path: Path, batch_rows: int = 256) -> Iterator[pa.RecordBatch]:
    """Read a part or rejects back in order, a few rows at a time.

    Args:
        path: a file that this module wrote.
        batch_rows: rows of a batch, at most.
    """
    with pq.ParquetFile(path, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=batch_rows, use_threads=False)


def _write(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    metadata: Mapping[str, str],
    compression: str,
) -> PartInfo:
    leaves = _leaves(schema)
    rows = 0
    with (
        _new_file(path) as file,
        pq.ParquetWriter(
            file,
            schema.with_metadata(dict(metadata)),
            compression=compression,
            use_dictionary=[name for name in leaves if name in _REPETITIVE],
            use_byte_stream_split=[name for name in leaves if name == _EMBEDDING],
            write_statistics=[name for name in leaves if name in _FILTERED],
        ) as writer,
    ):
        for group in _groups(batches):
            table = pa.Table.from_batches(group, schema)
            writer.write_table(table, row_group_size=max(1, len(table)))
            rows += len(table)
    return PartInfo(rows=rows, bytes=path.stat().st_size)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, and delete it on an error.

    The Parquet writer closes a file validly even then: half of the rows would look like all.
    """
    with ExitStack() as on_error:
        with path.open("xb") as file:
            on_error.callback(path.unlink)
            yield file
        on_error.pop_all()


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the columns' paths in Parquet: a list's values are ``<name>.list.element``."""
    return [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
    ]


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Gather batches until they make a row group."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += batch.nbytes
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
