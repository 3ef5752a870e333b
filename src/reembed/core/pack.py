"""Pack the chunks of a partition into shards: weigh, cut, number, fingerprint, price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reembed.config.capabilities import Capabilities, PriceKind
from reembed.config.job_limits import JobLimits, job_limits, token_quota
from reembed.config.models import ModelSpec
from reembed.config.schema import Config
from reembed.core.canaries import canary_count, plan_canaries
from reembed.core.manifest import TokenCounts, fingerprint_of, number_requests, request_groups
from reembed.core.names import shard_id
from reembed.core.plans import PlanTotals, ShardPlan
from reembed.core.price import price
from reembed.core.records import Need
from reembed.core.rows import first_rows, request_ordinals
from reembed.core.schema import INPUT_ORDER
from reembed.core.wire import WireFormat

Int64 = npt.NDArray[np.int64]

# A shard of rejects alone sends nothing, yet its manifest must stay of a size that is read whole.
MAX_CHUNKS = 50_000
_NOTHING = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight of each chunk in a job: int64 arrays of shape (chunks,); all 0 for a reject.

    `requests` is 1 or 0, `input_bytes` those of its line on the wire, `result_bytes` the
    predicted bytes of its result line. Chunks of one `group` (0 or more) ask for the same: in one
    job only the first of them weighs. -1 is no group.
    """

    requests: Int64
    tokens: Int64
    input_bytes: Int64
    result_bytes: Int64
    group: Int64

    def __post_init__(self) -> None:
        """Check that the arrays describe the same chunks.

        Raises:
            ValueError: their lengths differ.
        """
        if len({len(column) for column in (*self.columns(), self.group)}) != 1:
            raise ValueError("the weights of chunks must be columns of one length")

    def columns(self) -> Sequence[Int64]:
        """Return the columns in the order of `JobLimits`."""
        return (self.requests, self.tokens, self.input_bytes, self.result_bytes)


def pack(weights: Weights, limits: JobLimits) -> list[tuple[int, int]]:
    """Cut chunks 0..n into half-open runs, each within all limits of a job at once.

    Greedy and in input order: the same chunks give the same shards on every machine, so that a plan
    made twice has one digest, and the name order of parts is input order. Canaries repeat requests
    of their own job, so each is counted as its heaviest request. A chunk that is over a limit by
    itself gets a shard of its own: `refuse_unsendable` rejects it.

    Args:
        weights: of the chunks, in input order.
        limits: of one job.

    Returns:
        Ranges (start, end) that cover all chunks, in order.
    """
    bounds = (limits.requests, limits.tokens, limits.input_bytes, limits.result_bytes)
    rows = np.stack(weights.columns(), axis=1).tolist()
    runs: list[tuple[int, int]] = []
    start = 0
    total, heaviest = [0, 0, 0, 0], [0, 0, 0, 0]
    seen: set[int] = set()
    for at, (row, group) in enumerate(zip(rows, weights.group.tolist(), strict=True)):
        # An equal request of this shard is sent once, for all its chunks.
        add = _NOTHING if group in seen else row
        summed = [have + more for have, more in zip(total, add, strict=True)]
        most = [max(have, more) for have, more in zip(heaviest, add, strict=True)]
        # Rejects weigh nothing: they stay in the shard of their neighbours, so that its rows and
        # rejects together are a stretch of the input.
        if at > start and (at - start >= MAX_CHUNKS or (add[0] and _over(summed, most, bounds))):
            runs.append((start, at))
            start, summed, most = at, list(row), list(row)
            seen.clear()
        total, heaviest = summed, most
        if group >= 0:
            seen.add(group)
    if rows:
        runs.append((start, len(rows)))
    return runs


def _over(total: list[int], heaviest: list[int], bounds: Sequence[int]) -> bool:
    canaries = canary_count(total[0])
    return any(
        have + canaries * most > bound
        for have, most, bound in zip(total, heaviest, bounds, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Packing:
    """Settings that decide shards."""

    limits: JobLimits
    spec: ModelSpec
    dimensions: int
    task: str
    largest_tokens: int
    result_line_bytes: int
    with_titles: bool
    price: PriceKind

    @classmethod
    def of(cls, config: Config, wire: WireFormat, capabilities: Capabilities) -> Packing:
        """Make the packing of a configuration under a service's limits and wire format."""
        model = config.model
        return cls(
            limits=job_limits(config, capabilities),
            spec=model.spec(),
            dimensions=model.dimensions,
            task=model.task,
            largest_tokens=token_quota(config, capabilities),
            result_line_bytes=wire.result_line_bytes(),
            with_titles=wire.sends_titles,
            price=capabilities.price,
        )


@dataclass(frozen=True, slots=True)
class PackedShard:
    """Shard with its chunks (schema `MANIFEST`, requests numbered)."""

    plan: ShardPlan
    manifest: pa.Table


def refuse_unsendable(chunks: pa.Table, packing: Packing) -> pa.Table:
    """Make rejects of chunks that no job can ever have under the project's token quota.

    Such a job would wait for room for ever, and keep its shard open.
    """
    heavy = pc.and_(
        pc.greater(chunks.column("token_count"), packing.largest_tokens),
        pc.is_null(chunks.column("reject_code")),
    )
    if not pc.any(heavy).as_py():
        return chunks
    message = pc.binary_join_element_wise(
        "this chunk is estimated at ",
        pc.cast(chunks.column("token_count"), pa.string()),
        f" tokens, and batch.enqueued_tokens allows {packing.largest_tokens} at a time; cut "
        "smaller (chunking) or raise the quota",
        "",
    )
    for name, value in (
        ("reject_code", pa.scalar("over_quota")),
        ("reject_message", message),
        ("reject_stage", pa.scalar("plan")),
    ):
        at = chunks.schema.get_field_index(name)
        column = pc.if_else(heavy, value, chunks.column(name))
        chunks = chunks.set_column(at, chunks.schema.field(name), column)
    return chunks


def rank_by_key(chunks: pa.Table, keys: pa.ChunkedArray) -> pa.Table:
    """Give chunks the rank of their key as their offset: dense, from 0, in code point order.

    Text keys of a table have no position of their own. Keys of skipped chunks count too: ranks
    would otherwise depend on what the destination has already.

    Args:
        chunks: schema `MANIFEST`; all parts of an item share its key, and so its rank.
        keys: every key of the partition, in any order; those of `chunks` are among them.
    """
    known = pc.unique(keys)
    # Bytes of UTF-8 compare as code points do, and as STRING does in BigQuery.
    ranks = pc.index_in(chunks.column("key"), known.take(pc.sort_indices(known)))
    at = chunks.schema.get_field_index("offset")
    return chunks.set_column(at, chunks.schema.field(at), ranks.cast(pa.int64()))


def pack_partition(chunks: pa.Table, partition: int, packing: Packing) -> Iterator[PackedShard]:
    """Cut a partition into shards, in input order.

    Args:
        chunks: schema `MANIFEST`, in any order; requests are not numbered yet.
        partition: its number.
        packing: limits and what shapes requests.
    """
    in_order = chunks.sort_by([(name, "ascending") for name in INPUT_ORDER])
    ordered = refuse_unsendable(in_order, packing)
    groups = request_groups(ordered, packing.with_titles)
    weights = _weights(ordered, groups, packing)
    for seq, (start, end) in enumerate(pack(weights, packing.limits)):
        manifest = number_requests(ordered.slice(start, end - start), groups[start:end])
        yield PackedShard(_shard_plan(manifest, shard_id(partition, seq), packing), manifest)


def _weights(chunks: pa.Table, groups: NDArray[np.int64], packing: Packing) -> Weights:
    # Rejects and copies send nothing: they weigh 0 in every limit.
    sent = (groups >= 0).astype(np.int64)
    tokens = chunks.column("token_count").to_numpy(zero_copy_only=False) * sent
    wire = chunks.column("input_bytes").to_numpy(zero_copy_only=False) * sent
    return Weights(sent, tokens, wire, sent * packing.result_line_bytes, groups)


def _shard_plan(manifest: pa.Table, shard: str, packing: Packing) -> ShardPlan:
    requests = request_ordinals(manifest)
    chosen = first_rows(manifest)
    canaries = plan_canaries(len(chosen))
    # A canary costs what its original costs, so it is priced and weighed like it.
    originals = chosen[[canary.original for canary in canaries]] if canaries else chosen[:0]
    rows = np.concatenate([chosen, originals])
    counts = TokenCounts.of(manifest)
    by_modality: Counter[str] = Counter()
    for row in rows.tolist():
        _count(by_modality, counts, row)
    wire = manifest.column("input_bytes").to_numpy(zero_copy_only=False)
    return ShardPlan(
        shard=shard,
        chunks=manifest.num_rows,
        requests=len(chosen),
        canaries=len(canaries),
        rejects=_count_set(manifest, "reject_code"),
        tokens=dict(sorted(by_modality.items())),
        wire_bytes=int(wire[rows].sum()),
        result_bytes=len(rows) * packing.result_line_bytes,
        usd_nano=price(by_modality, packing.spec).usd_nano(packing.price),
        fingerprint=shard_fingerprint(
            manifest, packing.spec.name, packing.task, packing.dimensions
        ),
        shared=int(np.count_nonzero(requests >= 0)) - len(chosen),
        copies=_count_set(manifest, "donor"),
    )


def shard_fingerprint(manifest: pa.Table, model: str, task: str, dimensions: int) -> str:
    """Fingerprint a shard: its chunks, and what else shapes its requests."""
    return fingerprint_of(manifest, orjson.dumps([model, task, dimensions]))


def _count_set(table: pa.Table, column: str) -> int:
    return int(table.num_rows - table.column(column).null_count)


def totals_of(shards: list[PackedShard], items: int, skipped: int = 0) -> PlanTotals:
    """Add up the shards of a partition, and the chunks that were left out of them."""
    notes: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    spared: Counter[str] = Counter()
    for shard in shards:
        tokens.update(shard.plan.tokens)
        spared.update(_spared(shard))
        first = shard.manifest.filter(pc.equal(shard.manifest.column("part"), 0))
        for found in first.column("notes").to_pylist():
            notes.update(found or ())
    plans = [shard.plan for shard in shards]
    return PlanTotals(
        items=items,
        chunks=sum(plan.chunks for plan in plans) + skipped,
        requests=sum(plan.requests for plan in plans),
        shared=sum(plan.shared for plan in plans),
        copies=sum(plan.copies for plan in plans),
        rejects=sum(plan.rejects for plan in plans),
        skipped=skipped,
        canaries=sum(plan.canaries for plan in plans),
        shards=len(plans),
        jobs=sum(1 for plan in plans if plan.requests),
        input_bytes=sum(plan.wire_bytes for plan in plans),
        result_bytes=sum(plan.result_bytes for plan in plans),
        tokens=dict(sorted(tokens.items())),
        shared_tokens=dict(sorted(spared.items())),
        notes=dict(sorted(notes.items())),
    )


def _spared(shard: PackedShard) -> Counter[str]:
    """Count the tokens of chunks whose vector exists, or is asked for, already; by modality."""
    manifest, spared = shard.manifest, Counter[str]()
    requests, seen = request_ordinals(manifest).tolist(), set[int]()
    counts, donors = TokenCounts.of(manifest), manifest.column("donor").to_pylist()
    for row, (request, donor) in enumerate(zip(requests, donors, strict=True)):
        if donor is not None or request in seen:
            _count(spared, counts, row)
        if request >= 0:
            seen.add(request)
    return spared


def _count(total: Counter[str], counts: TokenCounts, row: int) -> None:
    for modality, tokens in counts.of_row(row):
        total[modality] += tokens


def need_of_requests(manifest: pa.Table, packing: Packing) -> Callable[[Sequence[int]], Need]:
    """Bound what sending some requests again takes, from the manifest's weights."""
    row_of = first_rows(manifest).tolist()
    counts = TokenCounts.of(manifest)
    sizes = manifest.column("input_bytes").to_numpy(zero_copy_only=False)

    def need(ordinals: Sequence[int]) -> Need:
        by_modality: Counter[str] = Counter()
        for ordinal in ordinals:
            _count(by_modality, counts, row_of[ordinal])
        return Need(
            usd_nano=price(by_modality, packing.spec).usd_nano(packing.price),
            tokens=sum(by_modality.values()),
            jobs=1,
            input_bytes=sum(int(sizes[row_of[n]]) for n in ordinals),
            result_bytes=packing.result_line_bytes * len(ordinals),
        )

    return need
