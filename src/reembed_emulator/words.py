"""Split text into words and signs, count their tokens, and give each its lexical features."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BUCKETS = 4096
_SLOTS = 8
_MAX_WORDS = 1 << 19
_MAX_CHARACTERS = 1_000_000

# One ideograph, kana or syllable is a word; a sign is a token without meaning.
_UNITS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")
_DOCUMENT = re.compile(r"title: (.*?) \| text: ", re.DOTALL)
_QUERY = re.compile(r"task: [a-z ]{1,40} \| query: ")
# Function words say little about a subject; there are no counts over a corpus to learn it from.
_COMMON_TEXT = (
    "a about after all also an and are as at be been but by can do for from had has have he her "
    "his how i if in into is it its may more most no not of on one or our out so some such than "
    "that the their them then there these they this to up us was we were what when where which "
    "who will with would you your"
)
_COMMON = frozenset(_COMMON_TEXT.split())


class WordTable:
    """Number words as they come, and keep buckets, weights and token counts by number.

    Everything follows from the word alone, so the numbering and a restart change nothing.
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._clear(1024)

    def _clear(self, size: int) -> None:
        self._rows = {}
        self._buckets = np.zeros((size, _SLOTS), np.int32)
        self._values = np.zeros((size, _SLOTS), np.float32)
        self._hashes = np.zeros(size, np.uint64)
        self._weights = np.zeros(size, np.float32)
        self._tokens = np.zeros(size, np.int32)

    def trim(self) -> None:
        """Forget all words when there are too many; numbers given before are void then."""
        if len(self._rows) > _MAX_WORDS:
            self._clear(1024)

    def rows(self, text: str, limit: int) -> tuple[npt.NDArray[np.int64], int]:
        """Return the numbers of the words of `text` within `limit` tokens, and the token count.

        Words of the fixed task prefixes count as tokens, but come back as -1: they mean nothing.
        """
        normal = unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]).lower()
        words = _UNITS.findall(normal)
        table = self._rows
        try:
            found = [table[word] for word in words]
        except KeyError:
            found = [table[word] if word in table else self._add(word) for word in words]
        rows = np.array(found, np.int64)
        spent = np.cumsum(self._tokens[rows])
        kept = int(np.searchsorted(spent, limit, side="right"))
        for start, stop in _prefix_spans(normal):
            rows[start:stop] = -1
        return rows[:kept], int(spent[kept - 1]) if kept else 0

    def features(self, texts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        """Return one row of 4096 signed sums for each text given by its word numbers.

        Words, parts of words and pairs of neighbours; a repeated word counts by the logarithm.
        """
        count = len(texts)
        lengths = np.array([len(rows) for rows in texts], np.int64)
        if not lengths.sum():
            return np.zeros((count, BUCKETS), np.float32)
        rows = np.concatenate(texts)
        owner = np.repeat(np.arange(count, dtype=np.int64), lengths)
        known = (rows >= 0) & (self._weights[np.maximum(rows, 0)] > 0)
        rows, owner = rows[known], owner[known]
        pairs, times = np.unique((owner << 32) | rows, return_counts=True)
        unit, word = pairs >> 32, pairs & 0xFFFFFFFF
        damped = (1.0 + np.log(times)).astype(np.float32)
        places = (unit[:, None] * BUCKETS + self._buckets[word]).ravel()
        values = (self._values[word] * damped[:, None]).ravel()
        two_places, two_values = self._neighbours(rows, owner)
        sums = np.bincount(
            np.concatenate([places, two_places]),
            np.concatenate([values, two_values]),
            count * BUCKETS,
        )
        return sums.astype(np.float32).reshape(count, BUCKETS)

    def _neighbours(
        self, rows: npt.NDArray[np.int64], owner: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        same = owner[1:] == owner[:-1]
        left, right, unit = rows[:-1][same], rows[1:][same], owner[1:][same]
        mixed = self._hashes[left] * np.uint64(0x9E3779B97F4A7C15) + self._hashes[right]
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        bucket = (mixed >> np.uint64(52)).astype(np.int64)
        sign = np.where((mixed >> np.uint64(51)) & np.uint64(1), 0.4, -0.4)
        weight = np.minimum(self._weights[left], self._weights[right]) * sign
        return unit * BUCKETS + bucket, weight.astype(np.float32)

    def _add(self, word: str) -> int:
        row = len(self._rows)
        if row == len(self._tokens):
            self._grow()
        weight = _weight(word)
        # Digests of each piece: the low bits choose the bucket, the next one the sign.
        for slot, (piece, share) in enumerate(_pieces(word)):
            digest = _digest(piece)
            self._buckets[row, slot] = digest % BUCKETS
            self._values[row, slot] = weight * share * (1.0 if digest >> 12 & 1 else -1.0)
        self._hashes[row] = _digest(word) * 0x9E3779B1
        self._weights[row] = weight
        self._tokens[row] = _tokens(word)
        self._rows[word] = row
        return row

    def _grow(self) -> None:
        for name in ("_buckets", "_values", "_hashes", "_weights", "_tokens"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))


def _digest(piece: str) -> int:
    # A cyclic redundancy check alone is linear: neighbours would share their bits.
    mixed = zlib.crc32(piece.encode("utf-8", "surrogatepass")) * 0x9E3779B97F4A7C15
    return (mixed >> 24) & 0xFFFFFFFF


def _pieces(word: str) -> list[tuple[str, float]]:
    pieces = [(word, 1.0)]
    if len(word) > 4:
        pieces.append((f"<{word[:4]}", 0.6))
        grams = [word[start : start + 4] for start in range(1, len(word) - 3)]
        step = max(1, -(-len(grams) // (_SLOTS - 2)))
        pieces += [(f"-{gram}", 0.25) for gram in grams[::step]]
    return pieces[:_SLOTS]


def _weight(word: str) -> float:
    first = word[0]
    if not (first.isalnum() or first == "_"):
        return 0.0
    if word in _COMMON:
        return 0.1
    if first.isascii() and len(word) < 3:
        return 0.4
    return 1.0


def _tokens(word: str) -> int:
    if word.isascii():
        return -(-len(word) // 6)
    return -(-len(word) // 3)


def _prefix_spans(text: str) -> list[tuple[int, int]]:
    query = _QUERY.match(text)
    if query is not None:
        return [(0, len(_UNITS.findall(query.group())))]
    document = _DOCUMENT.match(text)
    if document is None:
        return []
    title = len(_UNITS.findall(document.group(1)))
    if document.group(1).strip() == "none":
        return [(0, title + 5)]
    return [(0, 2), (2 + title, 5 + title)]
