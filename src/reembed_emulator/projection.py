"""Turn sums over 4096 buckets into vectors of up to 3072 values, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reembed_emulator.models import MAX_DIMENSIONS
from reembed_emulator.words import BUCKETS

_SIDE = 64
# Unit vectors of 4096 values have sums of magnitudes of at most 64; times this they stay below
# 2**24, so that every sum of the transform is exact in float32, in whatever order it is taken.
_SCALE = np.float32(1 << 17)


class Projection:
    """Project by random signs, a Hadamard transform and a fixed choice of outputs.

    Each bucket reaches every output with the same weight, so that inner products survive, also
    in the first values alone: what a Matryoshka model promises for its truncations.
    """

    def __init__(self, seed: int) -> None:
        generator = np.random.Generator(np.random.PCG64(seed))
        self._signs = generator.choice(np.array([-1, 1], np.float32), BUCKETS)
        self._chosen = generator.permutation(BUCKETS)[:MAX_DIMENSIONS]
        self._hadamard = _hadamard(_SIDE)

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return unit vectors float32[n, 3072] for features float32[n, 4096], none of them zero."""
        unit = normalise(features)
        whole = np.rint(unit * _SCALE) * self._signs
        grid = whole.reshape(-1, _SIDE, _SIDE)
        mixed = np.matmul(np.matmul(self._hadamard, grid), self._hadamard)
        taken = mixed.reshape(-1, BUCKETS)[:, self._chosen]
        return normalise(np.ascontiguousarray(taken))


def normalise(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return rows of unit length; a row of zeros stays one."""
    wide = vectors.astype(np.float64)
    norms: npt.NDArray[np.float64] = np.sqrt(np.sum(wide * wide, axis=1))
    norms[norms == 0] = 1.0
    return (wide / norms[:, None]).astype(np.float32)


def _hadamard(side: int) -> npt.NDArray[np.float32]:
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < side:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix.astype(np.float32)
