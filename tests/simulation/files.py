"""What stands in the Parquet files of a run, read without the code under test."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@lru_cache(2000)
def parsed(data: bytes) -> pa.Table:
    """A Parquet file as a table; the same bytes are read once."""
    return pq.ParquetFile(io.BytesIO(data), pre_buffer=False).read(use_threads=False)


def columns_of(data: bytes, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Some columns as lists."""
    return parsed(data).select(list(names)).to_pydict()


def keys_of(data: bytes) -> list[str]:
    """The keys of rows or rejects, in their order."""
    return list(columns_of(data, ("key",))["key"])
