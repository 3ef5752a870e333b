"""Partitions, shards and jobs of a corpus, by the packing of the configuration itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from reembed.config.job_limits import job_limits
from reembed.config.schema import Config
from reembed.core.canaries import canary_count
from reembed.core.names import PARTITION_ITEMS
from reembed.core.pack import Weights, pack
from reembed.core.plans import PlanTotals
from reembed.machine.quotas import Quotas, days_under
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.providers.gemini.requests import (
    ENVELOPE_BYTES,
    media_request_bytes,
    result_line_bytes,
)

TURNAROUND_HOURS = 4.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of chunk: its share, tokens of a request, bytes of its line on the wire."""

    share: float
    tokens: int
    wire: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus of chunks, one to a position, in an order that mixes its kinds."""

    name: str
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Tier:
    """The quotas of a project: those that differ, all else as configured by default."""

    name: str
    tokens: int
    jobs: int = 100
    file_gb: float = 20.0


_TEXT = Kind(1.0, 500, 2_000 + ENVELOPE_BYTES)
TEXT = Corpus("texts of 2,000 characters (500 tokens)", (_TEXT,))
MIX = Corpus(
    "of 1,000 chunks 700 such texts, 250 pictures of 300 KB, 40 pieces of PDF (6 pages, 500 KB), "
    "10 sounds (3 minutes, 2.9 MB)",
    (
        replace(_TEXT, share=0.7),
        Kind(0.25, 258, media_request_bytes(300_000)),
        Kind(0.04, 6 * 258, media_request_bytes(500_000)),
        Kind(0.01, 180 * 25, media_request_bytes(2_900_000)),
    ),
)
# Enqueued tokens as the vendor's rate-limit page gave them for the embedding models on 2026-11-20;
# reports disagree. The last two are no tiers: what a raised quota would change.
TIERS = (
    Tier("tier 1", 500_000),
    Tier("tier 2", 5_000_000),
    Tier("tier 3", 10_000_000),
    Tier("raised: 1,000 M tokens", 1_000_000_000),
    Tier("and 1,000 jobs, 1 TB of files", 1_000_000_000, 1_000, 1_000.0),
)


def config_of(tier: Tier) -> Config:
    """The default configuration in a project of this tier."""
    batch = {"enqueued_tokens": tier.tokens, "concurrent_jobs": tier.jobs}
    return Config.model_validate(
        {
            "name": "scale",
            "run_dir": "gs://bucket/run",
            "source": {"files": ["gs://bucket/corpus/**"]},
            "batch": {**batch, "file_storage_gb": tier.file_gb},
        }
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """A plan in numbers; `rows` is the mean of a shard."""

    chunks: int
    partitions: int
    per_partition: int
    totals: PlanTotals

    @property
    def shards(self) -> int:
        """All shards."""
        return self.totals.shards

    @property
    def rows(self) -> float:
        """Rows of a mean shard."""
        return self.chunks / self.shards


def shape_of(corpus: Corpus, chunks: int, tier: Tier) -> Shape:
    """The plan of so many chunks, from one partition that is packed for real."""
    one = _partition(corpus, tier)
    partitions = -(-chunks // PARTITION_ITEMS)
    share = chunks / PARTITION_ITEMS
    totals = PlanTotals(
        items=chunks,
        chunks=chunks,
        requests=chunks,
        canaries=round(one.canaries * share),
        shards=round(one.shards * share),
        jobs=round(one.shards * share),
        input_bytes=round(one.input_bytes * share),
        result_bytes=round(one.result_bytes * share),
        tokens={"all": round(one.all_tokens * share)},
    )
    return Shape(chunks, partitions, one.shards, totals)


@cache
def _partition(corpus: Corpus, tier: Tier) -> PlanTotals:
    config = config_of(tier)
    shares = [kind.share for kind in corpus.kinds]
    drawn = np.random.default_rng(2026).choice(len(shares), PARTITION_ITEMS, p=shares)
    tokens = np.array([kind.tokens for kind in corpus.kinds], np.int64)[drawn]
    wire = np.array([kind.wire for kind in corpus.kinds], np.int64)[drawn]
    ones = np.ones(PARTITION_ITEMS, np.int64)
    line = result_line_bytes(config.model.dimensions)
    runs = pack(Weights(ones, tokens, wire, ones * line, -ones), job_limits(config, CAPABILITIES))
    # A canary is counted as a mean request here, and as the heaviest one in packing.
    spare = sum(canary_count(end - start) for start, end in runs)
    grown = 1 + spare / PARTITION_ITEMS
    return PlanTotals(
        canaries=spare,
        shards=len(runs),
        input_bytes=round(int(wire.sum()) * grown),
        result_bytes=line * (PARTITION_ITEMS + spare),
        tokens={"all": round(int(tokens.sum()) * grown)},
    )


@dataclass(frozen=True, slots=True)
class Time:
    """Hours of a plan under each quota at a turnaround of four hours, and the one that binds."""

    tokens: float
    jobs: float
    files: float
    binds: str

    @property
    def hours(self) -> float:
        """Under the quota that binds."""
        return max(self.tokens, self.jobs, self.files)


def time_of(shape: Shape, tier: Tier) -> Time:
    """The same arithmetic as the plan's own, `machine.quotas`."""
    quotas = Quotas.of(config_of(tier), CAPABILITIES)
    days = days_under(quotas, shape.totals, TURNAROUND_HOURS)
    files = days.file_storage or 0.0
    tokens, jobs = days.enqueued_tokens, days.concurrent_jobs
    return Time(tokens * 24, jobs * 24, files * 24, days.binds)


SIZES: Sequence[int] = (10**7, 10**8, 10**9)
