"""Small planned corpora: real manifests and shard plans, made once and shared by many seeds."""

from __future__ import annotations

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
from reembed.core.names import stripes_of
from reembed.core.planning import Packing, pack_stripe
from reembed.core.requests import RequestOptions
from reembed.core.shards import ShardPlan
from reembed.types import Chunk, Position, Reject

RUN = "sim"
PLAN = "plan"
RUN_DIR = "/sim/run"
DIMENSIONS = 128
CORPORA = 48
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
    text: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A committed plan: its shards, their manifests as Parquet, every planned chunk."""

    shards: tuple[ShardPlan, ...]
    manifests: dict[str, bytes]
    planned: tuple[Planned, ...]

    @property
    def stripes(self) -> dict[str, tuple[ShardPlan, ...]]:
        """The shards by stripe."""
        names = stripes_of(plan.shard for plan in self.shards)
        return {name: tuple(p for p in self.shards if p.shard.startswith(name)) for name in names}


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
        }
    )


@lru_cache
def corpus(index: int) -> Corpus:
    """Make the corpus of a number: 1 to 5 shards in 1 or 2 stripes, some chunks rejects already."""
    rng = random.Random(index)
    max_requests = rng.choice((1, 2, 4, 7, 12))
    config = config_of("file", 4, max_requests)
    count = rng.randint(1, 5) * max_requests - rng.randrange(max_requests)
    halves = [count] if rng.random() < 0.7 or count < 2 else [count // 2, count - count // 2]
    shards: list[ShardPlan] = []
    manifests: dict[str, bytes] = {}
    planned: list[Planned] = []
    for stripe, size in enumerate(halves):
        chunks = [_chunk(rng, stripe * 20_000 + n) for n in range(size)]
        table = manifest_of(chunks, RequestOptions.of(config))
        for packed in pack_stripe(table, stripe, Packing.of(config)):
            shards.append(packed.plan)
            sink = io.BytesIO()
            pq.write_table(packed.manifest, sink)
            manifests[packed.plan.shard] = sink.getvalue()
            for row in packed.manifest.to_pylist():
                planned.append(
                    Planned(
                        packed.plan.shard,
                        row["key"],
                        row["source_index"],
                        row["request"],
                        row["text"] or "",
                    )
                )
    return Corpus(tuple(shards), manifests, tuple(planned))


def _chunk(rng: random.Random, index: int) -> Chunk:
    words = [rng.choice(_WORDS) for _ in range(rng.randint(1, 9))]
    if rng.random() < 0.04:
        words.append("poison")
    text = f"{' '.join(words)} {index}"
    refused = rng.random() < 0.06
    return Chunk(
        key=f"doc-{index:06}",
        uri=f"/corpus/{index:06}.txt",
        position=Position(index),
        part=0,
        parts=1,
        modality="text",
        mime_type="text/plain",
        tokens=2 * len(words) + 12,
        input_bytes=len(text),
        generation="1",
        source_hash=f"{index:064x}",
        content_hash=f"{index:064x}",
        chunker="text/1",
        text=None if refused else text,
        reject=Reject("empty", "nothing in it", "plan") if refused else None,
    )


def text_of(request: bytes) -> tuple[str, str]:
    """The key and the text of a request line, of either form."""
    body = json.loads(request)
    key = body["key"] if "key" in body else body["metadata"]["key"]
    return key, body["request"]["content"]["parts"][0]["text"]


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
