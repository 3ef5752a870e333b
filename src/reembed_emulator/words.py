"""Lexical features of text: words hashed into 4096 signed buckets, and their token counts."""

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

# One ideograph, kana or syllable is a word; a sign is a token without features.
_UNITS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")
# The task text that the vendor documents for gemini-embedding-2.
_DOCUMENT = re.compile(r"title: (.*?) \| text: ", re.DOTALL)
_QUERY = re.compile(r"task: [a-z ]{1,40} \| query: ")
# Function words say little about a subject, and there are no corpus counts to learn that from.
_COMMON_TEXT = (
    "a about after all also an and are as at be been but by can do for from had has have he her "
    "his how i if in into is it its may more most no not of on one or our out so some such than "
    "that the their them then there these they this to up us was we were what when where which "
    "who will with would you your"
)
_COMMON = frozenset(_COMMON_TEXT.split())


class WordTable:
    """Table of the words met so far: an id for each, its buckets, weights and token count.

    All but the id follows from the word alone, so vectors depend on neither order nor restart.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._clear(1024)

    # Arrays by word id rather than objects: features of a whole batch are a few numpy calls.
    def _clear(self, size: int) -> None:
        self._ids = {}
        self._buckets = np.zeros((size, _SLOTS), np.int32)
        self._values = np.zeros((size, _SLOTS), np.float32)
        self._hashes = np.zeros(size, np.uint64)
        self._weights = np.zeros(size, np.float32)
        self._tokens = np.zeros(size, np.int32)

    def trim(self) -> None:
        """Forget all words when there are too many; ids given before are void then."""
        if len(self._ids) > _MAX_WORDS:
            self._clear(1024)

    def ids(self, text: str, limit: int) -> tuple[npt.NDArray[np.int64], int]:
        """Return the ids of the words of `text` within `limit` tokens, and the token count.

        Words of the documented task prefixes count as tokens, but get the id -1: they carry no
        meaning, and without this rule all documents of a task would be similar.
        """
        normal = unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]).lower()
        words = _UNITS.findall(normal)
        table = self._ids
        # Most texts have no new word: then no word needs a check of its own.
        try:
            found = [table[word] for word in words]
        except KeyError:
            found = [table[word] if word in table else self._add(word) for word in words]
        ids = np.array(found, np.int64)
        spent = np.cumsum(self._tokens[ids])
        kept = int(np.searchsorted(spent, limit, side="right"))
        for start, stop in _prefix_spans(normal):
            ids[start:stop] = -1
        return ids[:kept], int(spent[kept - 1]) if kept else 0

    def features(self, texts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        """Return float32[n, 4096] of signed sums for n texts given by their word ids.

        Words, parts of words and pairs of neighbours; a repeated word counts by the logarithm.
        """
        count = len(texts)
        lengths = np.array([len(ids) for ids in texts], np.int64)
        if not lengths.sum():
            return np.zeros((count, BUCKETS), np.float32)
        # One pass over all texts at once: each word carries the number of its text.
        ids = np.concatenate(texts)
        owner = np.repeat(np.arange(count, dtype=np.int64), lengths)
        known = (ids >= 0) & (self._weights[np.maximum(ids, 0)] > 0)
        ids, owner = ids[known], owner[known]
        # Text and word in one integer, to count each word once for each text.
        pairs, times = np.unique((owner << 32) | ids, return_counts=True)
        text, word = pairs >> 32, pairs & 0xFFFFFFFF
        damped = (1.0 + np.log(times)).astype(np.float32)
        buckets = (text[:, None] * BUCKETS + self._buckets[word]).ravel()
        values = (self._values[word] * damped[:, None]).ravel()
        pair_buckets, pair_values = self._neighbours(ids, owner)
        sums = np.bincount(
            np.concatenate([buckets, pair_buckets]),
            np.concatenate([values, pair_values]),
            count * BUCKETS,
        )
        return sums.astype(np.float32).reshape(count, BUCKETS)

    def _neighbours(
        self, ids: npt.NDArray[np.int64], owner: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return bucket and value of each pair of neighbouring words of one text."""
        same = owner[1:] == owner[:-1]
        left, right, text = ids[:-1][same], ids[1:][same], owner[1:][same]
        # Order matters: a mixing hash of left and right, after SplitMix64, chooses the bucket.
        mixed = self._hashes[left] * np.uint64(0x9E3779B97F4A7C15) + self._hashes[right]
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        bucket = (mixed >> np.uint64(52)).astype(np.int64)
        sign = np.where((mixed >> np.uint64(51)) & np.uint64(1), 0.4, -0.4)
        weight = np.minimum(self._weights[left], self._weights[right]) * sign
        return text * BUCKETS + bucket, weight.astype(np.float32)

    def _add(self, word: str) -> int:
        number = len(self._ids)
        if number == len(self._tokens):
            self._grow()
        weight = _weight(word)
        # Digests of each piece: the low bits choose the bucket, the next one the sign.
        for slot, (piece, share) in enumerate(_pieces(word)):
            digest = _digest(piece)
            self._buckets[number, slot] = digest % BUCKETS
            self._values[number, slot] = weight * share * (1.0 if digest >> 12 & 1 else -1.0)
        self._hashes[number] = _digest(word) * 0x9E3779B1
        self._weights[number] = weight
        self._tokens[number] = _tokens(word)
        self._ids[word] = number
        return number

    def _grow(self) -> None:
        for name in ("_buckets", "_values", "_hashes", "_weights", "_tokens"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))


def _digest(piece: str) -> int:
    # A cyclic redundancy check alone is linear: similar words would share their bits.
    mixed = zlib.crc32(piece.encode("utf-8", "surrogatepass")) * 0x9E3779B97F4A7C15
    return (mixed >> 24) & 0xFFFFFFFF


def _pieces(word: str) -> list[tuple[str, float]]:
    """Return the word, its beginning and its inner four-grams, each with its share."""
    pieces = [(word, 1.0)]
    if len(word) > 4:
        pieces.append((f"<{word[:4]}", 0.6))
        grams = [word[start : start + 4] for start in range(1, len(word) - 3)]
        # At most as many as there are slots, spread over the word.
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
    # No public tokenizer knows these models: a rough count that grows with the word.
    if word.isascii():
        return -(-len(word) // 6)
    return -(-len(word) // 3)


def _prefix_spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of words that belong to a task prefix; a title keeps its meaning."""
    query = _QUERY.match(text)
    if query is not None:
        return [(0, len(_UNITS.findall(query.group())))]
    document = _DOCUMENT.match(text)
    if document is None:
        return []
    title = len(_UNITS.findall(document.group(1)))
    # The five units `title : ... | text :` around the title; `none` stands for no title.
    if document.group(1).strip() == "none":
        return [(0, title + 5)]
    return [(0, 2), (2 + title, 5 + title)]
