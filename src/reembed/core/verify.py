"""Verify an answer: structure, canaries, and token counts against text lengths.

What these checks can detect, and what not. A key join alone cannot see an answer whose lines carry
each other's keys. Two independent witnesses can:

* **Canaries** repeat the content of another request, their original. If what stands under a
  canary's key is not what stands under its original's, keys moved. Every permutation that moves
  either of the two to other content is seen: a full shuffle, a rotation, a reversal. An exchange
  that touches neither is not.
* **Token counts** follow the texts' lengths. They are compared by rank correlation, over the whole
  job and within windows of 64 texts, and an alarm is raised where they are as good as unrelated
  although the lengths differ enough. Only texts bear witness, since what a service counts
  for media is its own affair; and only where it reports counts at all.

Permutations that are caught, in per cent, measured by the tests on jobs of 2, 40, 400 and 6,500
requests (1, 1, 8 and 8 canaries) with log-normal lengths (sigma 0.6):

================================= ====== ====== ====== ======
kind                                   2     40    400  6,500
================================= ====== ====== ====== ======
full shuffle                         100    100    100    100
rotation by any distance             100    100    100    100
swap of blocks of a quarter          100     67    100    100
swap of blocks of a tenth            100     31     96    100
swap of blocks of a fiftieth         100     15     30    100
swap of two lines                    100      8      8      0
================================= ====== ====== ====== ======

Without token counts, the swap of fiftieths in 6,500 falls to 26 and the rest stays within 2.

Not detectable: an exchange of few lines that touches neither a canary nor its original; any
permutation among equal contents (harmless); vectors of the wrong model in the right dimension; an
answer that is wrong in the same way for both, such as silently truncated input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reembed.core.canaries import Canary
from reembed.core.join import Joined
from reembed.core.rows import request_ordinals
from reembed.core.vectors import cosine

CANARY_COSINE = 0.999

# Structural: more than a hundredth of a job's keys, and more than three of them.
_TOLERATED_SHARE = 0.01
_TOLERATED_COUNT = 3

# Below 16 tokens a count is mostly prefix and rounding. A window of 64 gives a shuffled answer a
# rank correlation of 0 +- 0.126, and a good one, at this spread of lengths and the spread of
# tokens a character between scripts (sigma 0.25), 0.9 +- 0.03: 0.2 lies far from both.
_LEAST_TOKENS = 16
_WINDOW = 64
_LEAST_SPREAD = 0.5
_LEAST_CORRELATION = 0.2
# Fewer different counts, for instance one number for all, prove nothing.
_LEAST_DISTINCT = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """Reason not to trust an answer: a word to group by and a sentence to act on."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision whether an answer can be trusted; `reasons` is empty exactly when it can."""

    reasons: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether the answer can be trusted."""
        return not self.reasons


def verify(
    joined: Joined, canaries: Sequence[Canary], lengths: NDArray[np.integer] | None
) -> Verdict:
    """Decide whether an answer may be written, or must go to quarantine without paying again.

    Args:
        joined: the answer.
        canaries: of the job; those that this attempt did not send are left out of account.
        lengths: shape (at least the largest ordinal + 1,), by ordinal: the expected tokens of
            a text, 0 where the request is not a text (see `text_lengths`). None: no such check.
    """
    return Verdict(
        (
            *_structural(joined),
            *_canaries_agree(joined, canaries),
            *(_lengths_followed(joined, lengths) if lengths is not None else ()),
        )
    )


def text_lengths(manifest: pa.Table, canaries: Iterable[Canary] = ()) -> NDArray[np.int64]:
    """Estimate tokens by ordinal for `verify`: the manifest's estimate for texts, 0 for media.

    Args:
        manifest: schema `MANIFEST`.
        canaries: they take the length of their originals.
    """
    canaries = tuple(canaries)
    requests = request_ordinals(manifest)
    tokens = manifest.column("token_count").to_numpy(zero_copy_only=False)
    texts = pc.equal(manifest.column("modality"), "text").to_numpy(zero_copy_only=False)
    largest = max((int(requests.max(initial=-1)), *(c.ordinal for c in canaries)))
    lengths = np.zeros(largest + 1, np.int64)
    chosen = texts & (requests >= 0)
    lengths[requests[chosen]] = tokens[chosen]
    for canary in canaries:
        lengths[canary.ordinal] = lengths[canary.original]
    return lengths


def _structural(joined: Joined) -> Iterable[Finding]:
    seen, sent = joined.anomalies, len(joined.ordinals)
    if seen.keyless:
        yield Finding("keyless", f"{seen.keyless} of {joined.lines} lines have no key")
    lost = seen.missing + seen.unknown
    if _too_many(lost, sent):
        message = f"{seen.missing} of {sent} keys missing, {seen.unknown} lines with unknown keys"
        yield Finding("keys_lost", message)
    if _too_many(seen.doubled_different, sent):
        message = f"{seen.doubled_different} of {sent} keys answered twice with different vectors"
        yield Finding("doubled_different", message)
    unusable = seen.wrong_dimension + seen.not_finite + seen.zero_norm + seen.no_vector
    if unusable and not joined.ok.any():
        if seen.wrong_dimension == unusable:
            got = ", ".join(str(dimension) for dimension in sorted(seen.dimensions))
            asked = joined.matrix.shape[1]
            yield Finding("wrong_dimension", f"every vector has {got} values instead of {asked}")
        elif unusable > _TOLERATED_COUNT:
            yield Finding("no_usable_vector", f"none of {unusable} vectors is usable")


def _too_many(count: int, sent: int) -> bool:
    return count > _TOLERATED_COUNT and count > _TOLERATED_SHARE * sent


def _canaries_agree(joined: Joined, canaries: Sequence[Canary]) -> Iterable[Finding]:
    if not canaries:
        return
    first = joined.slots(np.array([canary.ordinal for canary in canaries], np.int64))
    second = joined.slots(np.array([canary.original for canary in canaries], np.int64))
    for canary, a, b in zip(canaries, first.tolist(), second.tolist(), strict=True):
        # One that has no vector is a reject of its own, and proves nothing about keys.
        if a < 0 or b < 0 or not (joined.ok[a] and joined.ok[b]):
            continue
        likeness = cosine(joined.matrix[a], joined.matrix[b])
        counts = int(joined.tokens[a]), int(joined.tokens[b])
        pair = f"requests {canary.original} and {canary.ordinal} have the same content but"
        if likeness < CANARY_COSINE:
            yield Finding("canary_differs", f"{pair} vectors with cosine {likeness:.4f}")
        elif min(counts) >= 0 and counts[0] != counts[1]:
            yield Finding("canary_differs", f"{pair} {counts[1]} and {counts[0]} tokens")


def _lengths_followed(joined: Joined, lengths: NDArray[np.integer]) -> Iterable[Finding]:
    """Correlate token counts with lengths by rank, over all texts and within each window."""
    expected = lengths[joined.ordinals]
    chosen = (expected >= _LEAST_TOKENS) & (joined.tokens > 0) & joined.ok
    expected, counts = expected[chosen], joined.tokens[chosen]
    places = joined.ordinals[chosen]
    whole = _correlation(expected, counts)
    if whole is not None and whole < _LEAST_CORRELATION:
        message = f"over {len(counts)} texts, rank correlation {whole:.2f}"
        yield Finding("tokens_unrelated", f"token counts do not follow lengths: {message}")
        return
    for start in range(0, len(counts) - _WINDOW + 1, _WINDOW):
        window = slice(start, start + _WINDOW)
        part = _correlation(expected[window], counts[window])
        if part is not None and part < _LEAST_CORRELATION:
            stretch = f"requests {places[window][0]} to {places[window][-1]}"
            message = f"{stretch}, rank correlation {part:.2f}"
            yield Finding("tokens_unrelated", f"token counts do not follow lengths: {message}")


def _correlation(expected: NDArray[np.integer], counts: NDArray[np.integer]) -> float | None:
    """Compute Spearman's rank correlation; None where the numbers are too few or too alike."""
    if len(counts) < _WINDOW or float(np.std(np.log(expected))) < _LEAST_SPREAD:
        return None
    if len(np.unique(expected)) < _LEAST_DISTINCT or len(np.unique(counts)) < _LEAST_DISTINCT:
        return None
    return float(np.corrcoef(_ranks(expected), _ranks(counts))[0, 1])


def _ranks(values: NDArray[np.integer]) -> NDArray[np.float64]:
    """Rank from 0, ties sharing their mean."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    means = ends - (sizes + 1) / 2
    ranked: NDArray[np.float64] = means[group]
    return ranked
