"""Small planned corpora: real manifests and shard plans, made once and shared by many seeds."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.parquet as pq

from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.pack import pack_partition
from reembed.core.plans import PartitionPlan, ShardPlan
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.types import Chunk, Position, Recipe, Reject

RUN = "sim"
PLAN = "plan"
RUN_DIR = "/sim/run"
DIMENSIONS = 128
CORPORA = 48
# The state that every media source was in when it was planned.
GENERATION = "planned"
_WORDS = [
    "tide",
    "foam",
    "shore",
    "gull",
    "rope",
    "mast",
    "keel",
    "wind",
    "salt",
    "reef",
    "dune",
    "pier",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """One chunk as the plan has it: its shard, key, request, and the words that it sends."""

    shard: str
    key: str
    order: int
    ordinal: int | None
    sent: str
    uri: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A committed plan: its shards, their manifests as Parquet, every planned chunk.

    `partitions` are the plan's records of its shards, by partition; `sources` the media, by name,
    in the state `GENERATION` that they were planned in.
    """

    shards: tuple[ShardPlan, ...]
    manifests: dict[str, bytes]
    planned: tuple[Planned, ...]
    partitions: dict[int, bytes]
    sources: dict[str, bytes]


@lru_cache
def config_of(form: str, max_attempts: int, max_requests: int = 12) -> Config:
    """A configuration of the run; quotas are given to the runners apart from it."""
    return Config.model_validate(
        {
            "name": RUN,
            "run_dir": RUN_DIR,
            "source": {"files": ["/corpus/*.txt"]},
            "model": {"dimensions": DIMENSIONS},
            "batch": {
                "input": form,
                "max_attempts": max_attempts,
                "max_requests": max_requests,
                "poll_seconds": [40, 3600],
                "lease_seconds": 120,
                "list_lag_seconds": 60,
            },
            # Compressing small parts is most of the work of writing them.
            "destination": {"parquet": {"compression": "none"}},
        }
    )


@lru_cache
def corpus(index: int) -> Corpus:
    """Make the corpus of a number: 1 to 5 shards in 1 or 2 partitions, some chunks rejected."""
    rng = random.Random(index)
    max_requests = rng.choice((1, 2, 4, 7, 12))
    config = config_of("file", 4, max_requests)
    count = rng.randint(1, 5) * max_requests - rng.randrange(max_requests)
    media = rng.choice((0.0, 0.0, 0.0, 0.3, 1.0))
    halves = [count] if rng.random() < 0.7 or count < 2 else [count // 2, count - count // 2]
    shards: list[ShardPlan] = []
    manifests: dict[str, bytes] = {}
    planned: list[Planned] = []
    partitions: dict[int, bytes] = {}
    sources: dict[str, bytes] = {}
    for partition, size in enumerate(halves):
        chunks = [_chunk(rng, partition * 20_000 + n, media, sources) for n in range(size)]
        sent = {c.key: _sent(c, sources) for c in chunks}
        mine: list[ShardPlan] = []
        table = manifest_of(chunks, GeminiWire.of(config))
        for packed in pack_partition(table, partition, packing_of(config)):
            mine.append(packed.plan)
            buffer = io.BytesIO()
            pq.write_table(packed.manifest, buffer)
            manifests[packed.plan.shard] = buffer.getvalue()
            for row in packed.manifest.to_pylist():
                planned.append(
                    Planned(
                        packed.plan.shard,
                        row["key"],
                        row["source_index"],
                        row["request"],
                        sent[row["key"]],
                        row["source_uri"],
                    )
                )
        partitions[partition] = PartitionPlan(
            partition=partition, shards=tuple(mine), totals={}
        ).encode()
        shards.extend(mine)
    return Corpus(tuple(shards), manifests, tuple(planned), partitions, sources)


def _chunk(rng: random.Random, index: int, media: float, sources: dict[str, bytes]) -> Chunk:
    words = [rng.choice(_WORDS) for _ in range(rng.randint(1, 9))]
    if rng.random() < 0.04:
        words.append("poison")
    text = f"{' '.join(words)} {index}"
    refused = rng.random() < 0.06
    pictured = not refused and rng.random() < media
    data = text.encode()
    if pictured:
        sources[f"/corpus/{index:06}.txt"] = data
    return Chunk(
        key=f"doc-{index:06}",
        uri=f"/corpus/{index:06}.txt",
        position=Position(index),
        part=0,
        parts=1,
        modality="image" if pictured else "text",
        mime_type="image/png" if pictured else "text/plain",
        tokens=2 * len(words) + 12,
        input_bytes=len(text),
        generation=GENERATION,
        source_hash=hashlib.sha256(data).hexdigest(),
        content_hash=f"{index:064x}",
        chunker="text/1",
        text=None if refused or pictured else text,
        recipe=Recipe("as_is", "image/png") if pictured else None,
        reject=Reject("empty", "nothing in it", "plan") if refused else None,
    )


def _sent(chunk: Chunk, sources: dict[str, bytes]) -> str:
    """The words on the wire (gemini-embedding-2, retrieval_document); a picture's are its bytes."""
    if chunk.recipe is not None:
        return sources[chunk.uri].decode()
    return f"title: none | text: {chunk.text}"


@lru_cache(100_000)
def text_of(request: bytes) -> tuple[str, str]:
    """The key and the text of a request line, of either form."""
    body = json.loads(request)
    key = body["key"] if "key" in body else body["metadata"]["key"]
    part = body["request"]["content"]["parts"][0]
    if "text" in part:
        return key, part["text"]
    return key, base64.b64decode(part["inlineData"]["data"]).decode()


@lru_cache(100_000)
def vector_json(text: str) -> str:
    """The service's vector of a text, as it prints it: a function of the text alone."""
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    return json.dumps([round(float(v), 6) for v in rng.standard_normal(DIMENSIONS)])


@lru_cache(100_000)
def unit_vector(text: str) -> np.ndarray:
    """What a row must hold for a request's text."""
    values = np.array(json.loads(vector_json(text)))
    return values / np.linalg.norm(values)


def tokens_of(text: str) -> int:
    """What the service counts for a text; never above the plan's estimate."""
    return len(text.split())
