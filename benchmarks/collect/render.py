"""Make answer files of unit vectors as a service would send them, and their manifests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from reembed.core.canaries import plan_canaries
from reembed.core.names import wire_key
from reembed.core.schema import MANIFEST

SEED = 20_26


# Of every shard: all have the same answer, so that any number of them takes one file.
FINGERPRINT = "abc00000"
_MADE = 64


def token_count(number: int) -> int:
    """The tokens of a text, from 20 to 1,019, spread like a corpus's."""
    return 20 + (number * 7919) % 1000


def render(folder: Path, per_shard: int, dimensions: int) -> None:
    """Write ``shard.jsonl``: the answer of a shard, canaries among it, in an order of its own."""
    with (folder / "shard.jsonl").open("wb", buffering=1 << 20) as file:
        for ordinal, number in _shuffled(per_shard):
            values = orjson.dumps(vector(number, dimensions), option=orjson.OPT_SERIALIZE_NUMPY)
            file.write(_line(wire_key(FINGERPRINT, ordinal), number, values))


def made_lines(count: int, dimensions: int) -> Iterator[bytes]:
    """The answer of a shard of any size: 64 vectors, again and again."""
    for ordinal, number in _shuffled(count):
        yield _line(wire_key(FINGERPRINT, ordinal), number, _few(dimensions)[number % _MADE])


@cache
def _few(dimensions: int) -> list[bytes]:
    flag = orjson.OPT_SERIALIZE_NUMPY
    return [orjson.dumps(vector(number, dimensions), option=flag) for number in range(_MADE)]


def _shuffled(count: int) -> Iterator[tuple[int, int]]:
    """Ordinal on the wire and number of the vector, canaries among them."""
    pairs = [(ordinal, ordinal) for ordinal in range(count)]
    pairs += [(canary.ordinal, canary.original) for canary in plan_canaries(count)]
    order = np.random.default_rng(SEED).permutation(len(pairs))
    return (pairs[place] for place in order.tolist())


def _line(key: str, number: int, values: bytes) -> bytes:
    """Key first and last by turns, values with the digits of a float32, as the service has them."""
    response = b'"response":{"tokenCount":"%d","embedding":{"values":%b}}' % (
        token_count(number),
        values,
    )
    if number % 2:
        return b'{"key":"%b",%b}\n' % (key.encode(), response)
    return b'{%b,"key":"%b"}\n' % (response, key.encode())


def vector(number: int, dimensions: int) -> NDArray[np.float32]:
    """The unit vector with a number: the same on every call."""
    values = np.random.default_rng([SEED, number]).standard_normal(dimensions)
    return (values / np.linalg.norm(values)).astype(np.float32)


def manifest(start: int, count: int) -> pa.Table:
    """The manifest of a shard whose chunks are whole texts, one request each."""
    numbers = range(start, start + count)
    uris = pa.array([f"gs://corpus/handbook/section-{n:08}.txt" for n in numbers])
    made = {
        "key": uris,
        "source_uri": uris,
        "source_index": pa.array(numbers, pa.int64()),
        "offset": pa.repeat(pa.scalar(0, pa.int64()), count),
        "part": pa.repeat(pa.scalar(0, pa.int32()), count),
        "parts": pa.repeat(pa.scalar(1, pa.int32()), count),
        "modality": pa.repeat("text", count),
        "mime_type": pa.repeat("text/plain", count),
        "content_hash": pa.array([f"{n:064x}" for n in numbers]),
        "token_count": pa.array([token_count(n) * 5 // 4 for n in numbers], pa.int64()),
        "input_bytes": pa.array([token_count(n) * 4 for n in numbers], pa.int64()),
        "chunker": pa.repeat("text/1", count),
        "generation": pa.repeat("1", count),
        "source_hash": pa.array([f"{n:064x}" for n in numbers]),
        "request": pa.array(range(count), pa.int32()),
    }
    columns = [
        made[field.name] if field.name in made else pa.nulls(count, field.type)
        for field in MANIFEST
    ]
    return pa.Table.from_arrays(columns, schema=MANIFEST)
