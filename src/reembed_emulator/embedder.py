"""Embed checked requests in batches: words and media to sums, sums to vectors."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reembed_emulator.contents import Gathered, Resolve, gather
from reembed_emulator.errors import RowError
from reembed_emulator.media import MediaReader, Medium, estimate_tokens
from reembed_emulator.models import MAX_DIMENSIONS, MODELS, Model
from reembed_emulator.projection import Projection, normalise
from reembed_emulator.words import BUCKETS, WordTable

_UNBOUNDED = 1 << 40


@dataclass(frozen=True, slots=True)
class Embedded:
    """Hold the vector of a request (float32 of its dimensions) and the tokens it is billed."""

    values: npt.NDArray[np.float32]
    tokens: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    rows: npt.NDArray[np.int64]
    media: npt.NDArray[np.float32] | None
    anchor: int
    tokens: int
    dimensions: int


class Embedder:
    """Embed requests of any model; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words = WordTable()
        self._media = MediaReader()
        self._projections = {name: Projection(model.seed) for name, model in MODELS.items()}

    def embed(
        self, requests: Sequence[Mapping[str, Any]], model: Model, resolve: Resolve
    ) -> list[Embedded | RowError]:
        """Return, for each parsed request in order, its vector or the error of its row."""
        with self._lock:
            self._words.trim()
            prepared = [self._prepare(request, model, resolve) for request in requests]
            good = [item for item in prepared if isinstance(item, _Prepared)]
            wholes = iter(self._projections[model.name](self._sums(good)) if good else ())
            return [
                _cut(next(wholes), item, model) if isinstance(item, _Prepared) else item
                for item in prepared
            ]

    def count_tokens(self, request: Mapping[str, Any], model: Model, resolve: Resolve) -> int:
        """Return the tokens of a request from headers, without decoding media; 0 if it is bad."""
        try:
            gathered = gather(request, model, resolve)
        except RowError:
            return 0
        media = sum(estimate_tokens(data, mime_type) for data, mime_type in gathered.media)
        with self._lock:
            self._words.trim()
            limit = max(0, model.token_limit - media)
            return min(media, model.token_limit) + self._words.rows(gathered.text, limit)[1]

    def _prepare(
        self, request: Mapping[str, Any], model: Model, resolve: Resolve
    ) -> _Prepared | RowError:
        try:
            gathered = gather(request, model, resolve)
            media = [self._media.read(data, mime_type) for data, mime_type in gathered.media]
        except RowError as err:
            return err
        spent = min(sum(medium.tokens for medium in media), model.token_limit)
        rows, text_tokens = self._words.rows(gathered.text, model.token_limit - spent)
        told = [self._words.rows(medium.text, _UNBOUNDED)[0] for medium in media if medium.text]
        return _Prepared(
            np.concatenate([rows, *told]),
            _sum_media(media),
            _anchor(gathered),
            max(1, spent + text_tokens),
            gathered.dimensions,
        )

    def _sums(self, prepared: Sequence[_Prepared]) -> npt.NDArray[np.float32]:
        sums = normalise(self._words.features([item.rows for item in prepared]))
        for row, item in enumerate(prepared):
            if item.media is not None:
                sums[row] += item.media
            if not sums[row].any():
                sums[row, item.anchor] = 1.0
        return sums


def _sum_media(media: Sequence[Medium]) -> npt.NDArray[np.float32] | None:
    if not media:
        return None
    total = np.sum([medium.sums for medium in media], axis=0)
    return np.asarray(total / np.float32(len(media)), np.float32)


def _anchor(gathered: Gathered) -> int:
    # Text of signs alone has no word: it gets a bucket of its own, so that it has a direction.
    return zlib.crc32(gathered.text.encode("utf-8", "surrogatepass")) % BUCKETS


def _cut(whole: npt.NDArray[np.float32], item: _Prepared, model: Model) -> Embedded:
    values = whole[: item.dimensions]
    if model.unit_length and item.dimensions < MAX_DIMENSIONS:
        values = normalise(values[None])[0]
    return Embedded(np.ascontiguousarray(values), item.tokens)
