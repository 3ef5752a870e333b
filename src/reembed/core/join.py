"""Join answers to requests by key, never by position; count every anomaly.

Answers of large jobs come in another order than their requests. A key is the fingerprint of the
shard and the number of the request, and a line joins only where it equals one that this attempt
sent letter by letter: neither the answer of another job nor a line out of place can become a row.
What the checks of an answer detect, and what not: docs/join.md.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reembed.core.names import wire_key
from reembed.core.row_errors import RowError
from reembed.core.vectors import cosine, unit_into

Broken = Literal["", "not_json", "too_long"]


class Answer(NamedTuple):
    """Line of an answer.

    `key` is None when the line has no key (or one that is not text). Exactly one of `values`
    (shape (d,), whatever d came) and `error` is set, unless the line is `broken`, which sets
    neither. `tokens` is the service's count, None when it gave none.
    """

    key: str | None
    values: NDArray[np.float64] | None = None
    tokens: int | None = None
    error: RowError | None = None
    broken: Broken = ""


# Two answers to one request are the same vector from here on.
SAME_COSINE = 0.999

# Different dimensions that are counted by name; a damaged answer could have thousands.
_MAX_DIMENSIONS_NAMED = 16


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Counts of what was wrong with an answer.

    Lines without a place: `keyless`, `unknown` (keys that this attempt never sent), `not_json`,
    `too_long`. Lines of a known key: `doubled_same`, `doubled_different` (a second line for a
    key, agreeing with the first or not), `wrong_dimension`, `not_finite`, `zero_norm`,
    `no_vector`. `missing`: keys sent that no line answered. `dimensions`: how often each number
    of values came that is not the one asked for.
    """

    keyless: int = 0
    unknown: int = 0
    not_json: int = 0
    too_long: int = 0
    doubled_same: int = 0
    doubled_different: int = 0
    wrong_dimension: int = 0
    not_finite: int = 0
    zero_norm: int = 0
    no_vector: int = 0
    missing: int = 0
    dimensions: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Joined answer: slot i of every array belongs to the request ``ordinals[i]``.

    Attributes:
        ordinals: int64, shape (n,), ascending: what the attempt sent, canaries included.
        matrix: float32, shape (n, d): unit vectors where `ok`, undefined elsewhere.
        ok: bool, shape (n,): the request has its vector. Exactly the others are in `errors`.
        tokens: int64, shape (n,): the service's counts, -1 where it gave none.
        lengths: float64, shape (n,): Euclidean lengths as the vectors came, NaN where not `ok`.
        errors: by ordinal, why there is no vector.
        anomalies: counts of what was wrong.
        lines: answer lines read, blank ones left out.
    """

    ordinals: NDArray[np.int64]
    matrix: NDArray[np.float32]
    ok: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    lengths: NDArray[np.float64]
    errors: Mapping[int, RowError]
    anomalies: Anomalies
    lines: int

    def without_vectors(self) -> Joined:
        """Return the same findings with an empty matrix, to keep once the vectors are written."""
        return replace(self, matrix=np.empty((0, self.matrix.shape[1]), np.float32))

    def answered(self) -> str:
        """Name the set of requests that have their vector, in 16 hex digits.

        Two fetches of one job that saw the same rows agree in it.
        """
        return hashlib.sha256(self.ordinals[self.ok].tobytes()).hexdigest()[:16]

    def slots(self, requests: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the slot of each ordinal in `requests`, -1 for one that was not sent here."""
        if len(self.ordinals) == 0:
            return np.full(requests.shape, -1, np.int64)
        places = np.searchsorted(self.ordinals, requests)
        places = np.minimum(places, len(self.ordinals) - 1)
        return np.where(self.ordinals[places] == requests, places, -1)


class Joiner:
    """Fills a matrix by ordinal from answer lines in any order.

    A line joins only by a key that this attempt sent: fingerprint and ordinal, letter by letter.
    Vectors are checked and scaled to unit length on their way in, while they are in float64.

    Args:
        fingerprint: of the attempt; its first 8 characters stand in the keys.
        ordinals: what was sent, canaries included, in any order.
        matrix: float32, shape (len(ordinals), d), writable; may be a memory map. Its content is
            overwritten where vectors come.
        inline: the answers stood in the job's own message. Then the only line of a job of one
            request joins without a key: there is no order to get wrong, and the message cannot be
            another job's. A result file could be, so there a key is asked for.

    Raises:
        ValueError: an ordinal twice, or a matrix of another shape or type.
    """

    def __init__(
        self,
        fingerprint: str,
        ordinals: Sequence[int],
        matrix: NDArray[np.float32],
        inline: bool = False,
    ) -> None:
        count = len(ordinals)
        self._ordinals = np.unique(np.asarray(ordinals, np.int64))
        if len(self._ordinals) != count:
            raise ValueError(f"{count} ordinals, {len(self._ordinals)} of them different")
        if matrix.ndim != 2 or len(matrix) != count or matrix.dtype != np.float32:
            raise ValueError(
                f"a matrix {matrix.dtype}{matrix.shape} for {count} ordinals: "
                f"give float32 of shape ({count}, dimensions)"
            )
        self._matrix = matrix
        self._slots: dict[str | None, int] = {
            wire_key(fingerprint, ordinal): slot
            for slot, ordinal in enumerate(self._ordinals.tolist())
        }
        self._seen = bytearray(count)
        self._ok = np.zeros(count, np.bool_)
        self._tokens = np.full(count, -1, np.int64)
        self._lengths = np.full(count, math.nan)
        self._errors: dict[int, RowError] = {}
        self._counts: dict[str, int] = {}
        self._dimensions: dict[int, int] = {}
        self._lines = 0
        self._alone = inline and count == 1
        self._keyless: Answer | None = None

    def add(self, answer: Answer) -> None:
        """Take one line of the answer."""
        self._lines += 1
        slot = self._slots.get(answer.key)
        if slot is None:
            self._stray(answer)
        elif self._seen[slot]:
            self._again(slot, answer)
        else:
            self._seen[slot] = 1
            self._first(slot, answer)

    def finish(self) -> Joined:
        """Name what is missing and return the result; the joiner must not be used after."""
        if self._keyless is not None:
            if self._lines == 1:
                self._seen[0] = 1
                self._first(0, self._keyless)
            else:
                self._count("keyless")
        for slot, seen in enumerate(self._seen):
            if not seen:
                self._fail(slot, RowError("missing", "the answer has no line for this request"))
        return Joined(
            ordinals=self._ordinals,
            matrix=self._matrix,
            ok=self._ok,
            tokens=self._tokens,
            lengths=self._lengths,
            errors=dict(sorted(self._errors.items())),
            anomalies=Anomalies(**self._counts, dimensions=self._dimensions),
            lines=self._lines,
        )

    def _first(self, slot: int, answer: Answer) -> None:
        if answer.tokens is not None:
            self._tokens[slot] = answer.tokens
        vector = self._matrix[slot]
        length = self._take(answer, vector)
        if isinstance(length, RowError):
            self._fail(slot, length)
        else:
            self._ok[slot] = True
            self._lengths[slot] = length

    def _take(self, answer: Answer, out: NDArray[np.float32]) -> float | RowError:
        """Write a line's vector, unit length, into `out`; its length, or why there is none."""
        if answer.values is None:
            return answer.error or RowError("no_vector", "the answer has no vector")
        dimension = len(answer.values)
        if dimension != len(out):
            if dimension in self._dimensions or len(self._dimensions) < _MAX_DIMENSIONS_NAMED:
                self._dimensions[dimension] = self._dimensions.get(dimension, 0) + 1
            message = f"the vector has {dimension} values, {len(out)} were asked for"
            return RowError("wrong_dimension", message)
        length = unit_into(answer.values, out)
        if length > 0:
            return length
        if length == 0:
            return RowError("zero_norm", "the vector has length 0")
        return RowError("not_finite", "the vector holds NaN or an infinite value")

    def _again(self, slot: int, answer: Answer) -> None:
        """Take a second line for a key: harmless if it agrees, otherwise neither can be trusted."""
        second = np.empty_like(self._matrix[slot])
        came = answer.values is not None and len(answer.values) == len(second)
        usable = came and unit_into(answer.values, second) > 0  # type: ignore[arg-type]
        agrees = usable == bool(self._ok[slot])
        if usable and agrees:
            agrees = cosine(self._matrix[slot], second) >= SAME_COSINE
        if agrees:
            self._count("doubled_same")
            return
        # Nothing tells which of the two is the right one, so the request has no vector.
        self._ok[slot] = False
        self._lengths[slot] = math.nan
        self._errors.pop(int(self._ordinals[slot]), None)
        message = "the answer has two lines for this request, and they differ"
        self._fail(slot, RowError("doubled_different", message))

    def _stray(self, answer: Answer) -> None:
        if answer.broken:
            self._count(answer.broken)
        elif answer.key is None and self._alone and self._keyless is None:
            self._keyless = answer  # until the end shows whether it is the only line
        else:
            self._count("keyless" if answer.key is None else "unknown")

    def _fail(self, slot: int, error: RowError) -> None:
        self._errors[int(self._ordinals[slot])] = error
        if not error.from_service:
            self._count(error.reason)

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def join(
    answers: Iterable[Answer],
    fingerprint: str,
    ordinals: Sequence[int],
    matrix: NDArray[np.float32],
) -> Joined:
    """Join all lines of an answer; see `Joiner` for the arguments and errors."""
    joiner = Joiner(fingerprint, ordinals, matrix)
    for answer in answers:
        joiner.add(answer)
    return joiner.finish()
