"""Partitions of a table's keys: borders from quantiles, and the partition of each key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Key = str | int


def borders_of(quantiles: Sequence[Key]) -> tuple[Key, ...]:
    """Borders between partitions, from quantiles that run from the least key to the greatest.

    Strictly rising, so that no partition between two of them is empty by construction; fewer than
    asked for where many rows share few keys.
    """
    if not quantiles:
        return ()
    least = quantiles[0]
    return tuple(sorted({border for border in quantiles[1:-1] if border != least}))


def partition_of_keys(keys: pa.Array, borders: Sequence[Key]) -> npt.NDArray[np.int64]:
    """Find the partition of each key: the number of borders at or below it.

    Partition ``i`` holds ``borders[i-1] <= key < borders[i]``. Strings compare by code points,
    which is the order of their UTF-8 bytes and of STRING in BigQuery.

    Args:
        keys: strings or integers, without NULLs; shape (n,).
        borders: of the same kind, strictly rising.

    Returns:
        (n,) int64, each from 0 to ``len(borders)``.

    Raises:
        ValueError: a key is NULL, or of another type.
    """
    if keys.null_count:
        first = keys.is_null().index(True).as_py()
        raise ValueError(f"the key at position {first} is NULL; keys must be given for all rows")
    kind = keys.type
    if pa.types.is_integer(kind):
        at: npt.NDArray[Any] = np.asarray(borders, dtype=np.int64)
        return _bisect(at, keys)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ValueError(f"keys are {kind}; use a column of strings or integers")
    # Objects: numpy's own strings are padded with NUL, so "a" and "a\0" would be equal.
    at = np.empty(len(borders), dtype=object)
    at[:] = list(borders)
    return _bisect(at, keys)


def _bisect(borders: npt.NDArray[Any], keys: pa.Array) -> npt.NDArray[np.int64]:
    values: npt.NDArray[Any] = keys.to_numpy(zero_copy_only=False)
    return np.searchsorted(borders, values, "right").astype(np.int64)
