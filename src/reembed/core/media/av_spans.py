"""Where overlapping chunks of a sound or a film begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction


def chunk_seconds(configured: float, allowed: float, overlap: float) -> tuple[Fraction, Fraction]:
    """Give the size of a chunk and the step to the next one, exactly, in seconds.

    The smaller of the configuration's and the model's size holds. An overlap that only the
    configured size could bear is brought to half of the model's.
    """
    size = min(Fraction(repr(float(configured))), Fraction(repr(float(allowed))))
    shared = Fraction(repr(float(overlap)))
    if shared >= size:
        shared = size / 2
    return size, size - shared


def cut_samples(
    samples: int, rate: int, size: Fraction, step: Fraction
) -> Iterator[tuple[int, int]]:
    """Give half-open ranges of samples; chunk k begins at k steps, rounded to a sample.

    The last ends with the sound, and none lies wholly inside the one before it.
    """
    longest = max(1, int(size * rate))
    number = start = end = 0
    while end < samples:
        # Never after the end of the one before, where size is no whole number of samples and
        # nothing overlaps; and never where that one began, for a step under one sample.
        start = max(min(round(number * step * rate), end), start + 1 if number else 0)
        end = min(samples, start + longest)
        yield start, end
        number += 1
