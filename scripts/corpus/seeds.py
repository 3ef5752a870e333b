"""Random numbers that depend on nothing but the seed and the name of what is being made."""

import zlib

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """Return a generator of its own for each name, so that a new file changes no other file."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
