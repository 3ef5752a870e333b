"""Manifests, answer lines and lineages for the tests of the way from an answer to a part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from reembed.core.names import wire_key
from reembed.core.rows import Lineage
from reembed.core.schema import MANIFEST

FINGERPRINT = "0a1b2c3d"


def line(key: str | None, values: Any = None, *, last: bool = False, **more: Any) -> bytes:
    """An answer line; `more` are further members of the response."""
    response = {"embedding": {"values": values}} if values is not None else {}
    document: dict[str, Any] = {"response": {**response, **more}}
    if key is not None:
        document = {**document, "key": key} if last else {"key": key, **document}
    return json.dumps(document).encode() + b"\n"


def keyed(ordinal: int, values: Any, **more: Any) -> bytes:
    return line(wire_key(FINGERPRINT, ordinal), values, **more)


def vectors(count: int, dimensions: int = 8, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimensions))


def unit(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array / np.linalg.norm(array)


def lineage(dimensions: int = 8, attempt: str = "0") -> Lineage:
    return Lineage(
        run="tide-1",
        shard="00000000-000000",
        job=f"batches/{attempt}",
        attempt=attempt,
        embedded_at=datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
        model="gemini-embedding-2",
        dimensions=dimensions,
        task="retrieval_document",
    )


def manifest(
    requests: Sequence[int | None],
    *,
    tokens: Sequence[int] | None = None,
    modality: Sequence[str] | None = None,
    rejects: Mapping[int, tuple[str, str, str]] | None = None,
) -> pa.Table:
    """One chunk for each of `requests`, numbered by source_index; None is a reject of the plan."""
    count = len(requests)
    rejects = rejects or {}
    made: dict[str, list[Any]] = {
        "key": [f"notes/{n}.txt" for n in range(count)],
        "source_uri": [f"/corpus/notes/{n}.txt" for n in range(count)],
        "source_index": list(range(count)),
        "offset": [0] * count,
        "part": [0] * count,
        "parts": [1] * count,
        "modality": list(modality or ["text"] * count),
        "mime_type": ["text/plain"] * count,
        "start": [0.0] * count,
        "end": [float(n) for n in range(count)],
        "unit": ["char"] * count,
        "title": [None if n % 2 else f"Note {n}" for n in range(count)],
        "text": [f"the text of note {n}" for n in range(count)],
        "metadata": [None] * count,
        "content_hash": [f"{n:064x}" for n in range(count)],
        "token_count": list(tokens or range(10, 10 + count)),
        "token_split": [None] * count,
        "input_bytes": [20] * count,
        "chunker": ["text/1"] * count,
        "generation": ["7"] * count,
        "source_hash": [f"{n:064x}" for n in range(count)],
        "recipe": [None] * count,
        "warnings": [["name disagrees"] if n == 1 else None for n in range(count)],
        "notes": [None] * count,
        "request": list(requests),
        "donor": [None] * count,
        "reject_code": [rejects.get(n, (None,) * 3)[0] for n in range(count)],
        "reject_message": [rejects.get(n, (None,) * 3)[1] for n in range(count)],
        "reject_stage": [rejects.get(n, (None,) * 3)[2] for n in range(count)],
    }
    return pa.table({field.name: made[field.name] for field in MANIFEST}, schema=MANIFEST)
