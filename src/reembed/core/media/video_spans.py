"""Where chunks of a film begin and end: at key frames, or at any time when encoded anew."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction


def key_spans(
    keys: Sequence[int], end: int, size: int, overlap: int
) -> list[tuple[int, int]] | None:
    """Cut at key frames; None where they are too sparse for chunks of `size`.

    Each chunk reaches to the last key frame within `size`. The next begins at the last key frame
    that leaves at least `overlap`; where none of those gets beyond the chunk before it, at the
    first later one that does, so that the overlap is as large as the key frames allow.

    Args:
        keys: times of the key frames, ascending.
        end: when the film ends.
        size: the longest chunk, in the same units.
        overlap: the wished overlap.

    Returns:
        Ranges of indices into `keys`, half-open; the last ends at ``len(keys)``: the film's end.
    """
    times = [*keys, end]
    last = len(keys)

    def reach(start: int) -> int:
        return bisect_right(times, times[start] + size, lo=start) - 1

    spans: list[tuple[int, int]] = []
    start = 0
    while True:
        stop = reach(start)
        if stop <= start:
            return None
        spans.append((start, stop))
        if stop == last:
            return spans
        following = bisect_right(times, times[stop] - overlap, hi=stop + 1) - 1
        start = max(following, start + 1)
        while start <= stop and reach(start) <= stop:
            start += 1
        if start > stop:
            return None


def time_spans(end: Fraction, size: Fraction, step: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Cut at multiples of `step`, in seconds; the last chunk ends with the film."""
    spans: list[tuple[Fraction, Fraction]] = []
    start = Fraction(0)
    while not spans or spans[-1][1] < end:
        spans.append((start, min(start + size, end)))
        start += step
    return spans
