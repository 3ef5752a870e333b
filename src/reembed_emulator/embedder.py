"""Vectors of checked requests: features projected onto up to 3072 values.

The result is the same on every machine and in every batch: reembed's tests compare vectors byte by
byte between runs.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson

from reembed_emulator.errors import RowError
from reembed_emulator.media import MediaReader, Medium, estimate_tokens
from reembed_emulator.messages import EmbedRequest
from reembed_emulator.models import (
    MAX_DIMENSIONS,
    MODELS,
    EmbedInput,
    Model,
    Resolve,
    check_request,
)
from reembed_emulator.words import BUCKETS, WordTable

_UNBOUNDED = 1 << 40
_SIDE = 64
# Unit vectors of 4096 values have sums of magnitudes of at most 64; times this they stay below
# 2**24, so that every sum of the transform is exact in float32, in whatever order it is taken.
_SCALE = np.float32(1 << 17)
_TABLE = 64


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vector of a request (float32 of its dimensions) and the tokens it is billed."""

    values: npt.NDArray[np.float32]
    tokens: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    ids: npt.NDArray[np.int64]
    media: npt.NDArray[np.float32] | None
    fallback: int
    tokens: int
    dimensions: int


class Embedder:
    """Embedder of requests for any model; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words = WordTable()
        self._media = MediaReader()
        self._projections = {name: Projection(model.seed) for name, model in MODELS.items()}

    def embed(
        self, requests: Sequence[EmbedRequest], model: Model, resolve: Resolve
    ) -> list[Embedded | RowError]:
        """Return, for each request in order, its vector or the error of its row."""
        # The word table and the media cache are not thread-safe, and ids must not be voided by a
        # trim while a batch holds them.
        with self._lock:
            self._words.trim()
            prepared = [self._prepare(request, model, resolve) for request in requests]
            valid = [item for item in prepared if isinstance(item, _Prepared)]
            vectors = iter(self._projections[model.name](self._features(valid)) if valid else ())
            return [
                _truncate(next(vectors), item, model) if isinstance(item, _Prepared) else item
                for item in prepared
            ]

    def count_tokens(self, request: EmbedRequest, model: Model, resolve: Resolve) -> int:
        """Return the tokens of a request from headers, without decoding media; 0 if it is bad."""
        try:
            checked = check_request(request, model, resolve)
        except RowError:
            return 0
        media = sum(estimate_tokens(data, mime_type) for data, mime_type in checked.media)
        with self._lock:
            self._words.trim()
            limit = max(0, model.token_limit - media)
            return min(media, model.token_limit) + self._words.ids(checked.text, limit)[1]

    def _prepare(
        self, request: EmbedRequest, model: Model, resolve: Resolve
    ) -> _Prepared | RowError:
        try:
            checked = check_request(request, model, resolve)
            media = [self._media.read(data, mime_type) for data, mime_type in checked.media]
        except RowError as err:
            return err
        # Media spend the token limit first; what is left truncates the text.
        spent = min(sum(medium.tokens for medium in media), model.token_limit)
        ids, text_tokens = self._words.ids(checked.text, model.token_limit - spent)
        media_ids = [self._words.ids(medium.text, _UNBOUNDED)[0] for medium in media if medium.text]
        return _Prepared(
            np.concatenate([ids, *media_ids]),
            _mean_features(media),
            _fallback_bucket(checked),
            max(1, spent + text_tokens),
            checked.dimensions,
        )

    def _features(self, prepared: Sequence[_Prepared]) -> npt.NDArray[np.float32]:
        # Words as a unit vector beside media of unit length: a caption counts as much as its image.
        features = normalise(self._words.features([item.ids for item in prepared]))
        for row, item in enumerate(prepared):
            if item.media is not None:
                features[row] += item.media
            if not features[row].any():
                features[row, item.fallback] = 1.0
        return features


def _mean_features(media: Sequence[Medium]) -> npt.NDArray[np.float32] | None:
    if not media:
        return None
    total = np.sum([medium.features for medium in media], axis=0)
    return np.asarray(total / np.float32(len(media)), np.float32)


def _fallback_bucket(checked: EmbedInput) -> int:
    # Text of signs alone has no word: it gets a bucket of its own, so that it has a direction.
    return zlib.crc32(checked.text.encode("utf-8", "surrogatepass")) % BUCKETS


def _truncate(vector: npt.NDArray[np.float32], item: _Prepared, model: Model) -> Embedded:
    # Confirmed: gemini-embedding-2 normalises every dimension, 001 only the full 3072 values.
    values = vector[: item.dimensions]
    if model.unit_length and item.dimensions < MAX_DIMENSIONS:
        values = normalise(values[None])[0]
    return Embedded(np.ascontiguousarray(values), item.tokens)


class Projection:
    """Projection by random signs, a Hadamard transform and a fixed choice of outputs.

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
        scaled = np.rint(unit * _SCALE) * self._signs
        # A transform of 4096 values as two products with a 64 × 64 matrix.
        grid = scaled.reshape(-1, _SIDE, _SIDE)
        mixed = np.matmul(np.matmul(self._hadamard, grid), self._hadamard)
        chosen = mixed.reshape(-1, BUCKETS)[:, self._chosen]
        return normalise(np.ascontiguousarray(chosen))


def normalise(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return rows of unit length; a row of zeros stays one."""
    # In float64: rounding to float32 then hides the order in which numpy takes the sum.
    wide = vectors.astype(np.float64)
    norms: npt.NDArray[np.float64] = np.sqrt(np.sum(wide * wide, axis=1))
    norms[norms == 0] = 1.0
    return (wide / norms[:, None]).astype(np.float32)


def _hadamard(side: int) -> npt.NDArray[np.float32]:
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < side:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix.astype(np.float32)


class FastVectors:
    """Table of 64 random unit vectors and their JSON, chosen by a hash of the content.

    For benchmarks that measure the reader of results: embedding would cost more than reading.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        generator = np.random.Generator(np.random.PCG64(0))
        self._vectors = generator.standard_normal((_TABLE, MAX_DIMENSIONS)).astype(np.float32)
        self._rendered: dict[int, list[bytes]] = {}

    def embed(self, request: EmbedRequest, model: Model, resolve: Resolve) -> tuple[bytes, int]:
        """Return the JSON array of the vector and the token count; raise RowError for a bad row."""
        checked = check_request(request, model, resolve)
        media = sum(estimate_tokens(data, mime_type) for data, mime_type in checked.media)
        tokens = media + max(1, len(checked.text) // 5)
        digest = zlib.crc32(checked.text.encode("utf-8", "surrogatepass"))
        for data, _ in checked.media:
            digest = zlib.crc32(data, digest)
        return self._table(checked.dimensions)[digest % _TABLE], min(tokens, model.token_limit)

    def count_tokens(self, request: EmbedRequest) -> int:
        """Return a rough token count of the text, without splitting it into words."""
        parts = (request.content.parts or []) if request.content else []
        return sum(len(part.text or "") // 5 for part in parts)

    def _table(self, dimensions: int) -> list[bytes]:
        with self._lock:
            if dimensions not in self._rendered:
                cut = normalise(np.ascontiguousarray(self._vectors[:, :dimensions]))
                self._rendered[dimensions] = [
                    orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in cut
                ]
            return self._rendered[dimensions]
