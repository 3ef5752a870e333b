"""Arithmetic on embeddings: length, unit vectors, cosine; sums in float64, storage in float32."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Between these a sum of squares has neither overflowed nor lost its digits to underflow.
_LEAST_SQUARE = 1e-280
_MOST_SQUARE = 1e300

# Rows normalised at a time: a block of 3,072 values stays in the processor's second-level cache.
_BLOCK_ROWS = 64


@np.errstate(over="ignore", invalid="ignore")
def unit_into(values: NDArray[np.float64], out: NDArray[np.float32]) -> float:
    """Write `values` scaled to unit length into `out`; return the length they had.

    The length of what is written is 1 within 1e-6: it is computed and applied in float64, and
    rounding to float32 moves a component by at most 2**-24 of itself.

    Args:
        values: shape (d,).
        out: shape (d,); untouched when the length is 0 or not finite.

    Returns:
        The Euclidean length; 0.0 for a vector of zeros, NaN when a value is NaN or infinite.
    """
    square = float(values.dot(values))
    if _LEAST_SQUARE < square < _MOST_SQUARE:
        length = math.sqrt(square)
        np.multiply(values, 1.0 / length, out=out, casting="same_kind")
        return length
    return _unit_of_extremes(values, out)


def _unit_of_extremes(values: NDArray[np.float64], out: NDArray[np.float32]) -> float:
    if not np.isfinite(values).all():
        return math.nan
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    # frexp keeps the scaling exact, also for subnormal numbers whose reciprocal overflows.
    exponent = math.frexp(largest)[1]
    scaled = np.ldexp(values, -exponent)
    length = math.sqrt(float(scaled.dot(scaled)))
    np.divide(scaled, length, out=out, casting="same_kind")
    try:
        return math.ldexp(length, exponent)
    except OverflowError:
        return float(np.finfo(np.float64).max)


def row_lengths(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the Euclidean length of each row, summed in float64.

    Args:
        matrix: shape (n, d).

    Returns:
        Shape (n,); NaN or infinite where a row is not finite.
    """
    lengths = np.empty(len(matrix), np.float64)
    for start in range(0, len(matrix), _BLOCK_ROWS):
        block = matrix[start : start + _BLOCK_ROWS].astype(np.float64)
        np.sqrt(np.einsum("ij,ij->i", block, block), out=lengths[start : start + len(block)])
    return lengths


def normalise_rows(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scale each row to unit length (within 1e-6) in place; return the lengths they had.

    Rows of length 0 and rows that are not finite stay as they are: see the lengths.

    Args:
        matrix: shape (n, d), writable.

    Returns:
        Shape (n,): the lengths before.
    """
    lengths = row_lengths(matrix)
    usable = np.isfinite(lengths) & (lengths > 0)
    factors = np.divide(1.0, lengths, out=np.ones_like(lengths), where=usable)
    for start in range(0, len(matrix), _BLOCK_ROWS):
        block = matrix[start : start + _BLOCK_ROWS]
        scale = factors[start : start + len(block), None]
        chosen = usable[start : start + len(block), None]
        np.multiply(block, scale, out=block, casting="same_kind", where=chosen)
    return lengths


def cosine(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Compute the cosine of two vectors of one dimension; 0.0 when either has no length.

    Raises:
        ValueError: the dimensions differ.
    """
    if left.shape != right.shape:
        raise ValueError(
            f"cosine of vectors with {left.shape} and {right.shape} values: "
            "compare vectors of one dimension"
        )
    a, b = left.astype(np.float64), right.astype(np.float64)
    lengths = math.sqrt(float(a.dot(a))) * math.sqrt(float(b.dot(b)))
    return float(a.dot(b)) / lengths if lengths > 0 else 0.0
