"""Answer from vectors that were written out beforehand, for measuring the reader of results."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from reembed_emulator.contents import Resolve, gather
from reembed_emulator.media import estimate_tokens
from reembed_emulator.models import MAX_DIMENSIONS, Model
from reembed_emulator.projection import normalise

_TABLE = 64


class FastVectors:
    """Hold 64 random unit vectors and their JSON, by dimensions; chosen by a content's hash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        generator = np.random.Generator(np.random.PCG64(0))
        self._whole = generator.standard_normal((_TABLE, MAX_DIMENSIONS)).astype(np.float32)
        self._rendered: dict[int, list[bytes]] = {}

    def answer(
        self, request: Mapping[str, Any], model: Model, resolve: Resolve
    ) -> tuple[bytes, int]:
        """Return the JSON array of the vector and the token count; raise RowError for a bad row."""
        gathered = gather(request, model, resolve)
        media = sum(estimate_tokens(data, mime_type) for data, mime_type in gathered.media)
        tokens = media + max(1, len(gathered.text) // 5)
        digest = zlib.crc32(gathered.text.encode("utf-8", "surrogatepass"))
        for data, _ in gathered.media:
            digest = zlib.crc32(data, digest)
        return self._table(gathered.dimensions)[digest % _TABLE], min(tokens, model.token_limit)

    def _table(self, dimensions: int) -> list[bytes]:
        with self._lock:
            if dimensions not in self._rendered:
                cut = normalise(np.ascontiguousarray(self._whole[:, :dimensions]))
                self._rendered[dimensions] = [
                    orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in cut
                ]
            return self._rendered[dimensions]
