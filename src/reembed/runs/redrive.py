"""Send rejects again, and only them: a new settlement generation of a settled run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.schema import Config
from reembed.core.names import partitions_of
from reembed.core.pack import need_of_requests
from reembed.core.plans import ShardPlan
from reembed.core.records import Child, Commit, Redrive, Settled, ranges_of
from reembed.core.rows import request_ordinals
from reembed.core.schema import INPUT_ORDER
from reembed.errors import UsageError
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir
from reembed.providers.open import packing_of
from reembed.storage.base import Storage
from reembed.storage.parallel import in_parallel

# Shards whose rejects and manifest are in memory beside each other.
_TABLES = 16


@dataclass(frozen=True, slots=True)
class Resend:
    """Requests of one shard that a redrive sends, and the most they cost."""

    shard: str
    redrive: Redrive


def plan_redrive(
    run_dir: RunDir, config: Config, reasons: Sequence[str]
) -> tuple[Commit, int, list[Resend]]:
    """Choose the rejects to send again; writes nothing.

    Args:
        run_dir: where the run lies.
        config: for prices.
        reasons: reason codes; none means every reject that had a request.

    Returns:
        The commit, the generation that this will be, and the requests by shard. Rejects of the
        plan (unreadable files and such) have no request: only a new plan can take them.

    Raises:
        UsageError: nothing is committed, the run is not settled, or no reject fits.
    """
    newest = run_dir.newest_commit()
    if newest is None:
        raise UsageError(
            f"nothing was committed in {run_dir.path}; `reembed run` begins, and what it rejects "
            "can be sent again after that"
        )
    if not newest.settled:
        raise UsageError(
            f"the run in {run_dir.path} is not settled; `reembed run` goes on with it, and what "
            "it rejects can be sent again after that"
        )
    commit, generation = newest.commit, newest.generation + 1

    def choose(known: tuple[ShardPlan, Settled, Resend | None]) -> Resend | None:
        plan, settled, begun = known
        return begun or _of_shard(run_dir, config, commit, plan, settled, reasons)

    chosen = in_parallel(choose, _settled(run_dir, commit, generation), _TABLES)
    found = [resend for resend in chosen if resend]
    if not found:
        which = f" with {', '.join(reasons)}" if reasons else ""
        raise UsageError(f"no reject{which} had a request that could be sent again")
    return commit, generation, found


def write_redrive(
    run_dir: RunDir, commit: Commit, generation: int, found: Sequence[Resend]
) -> None:
    """Put a redrive on record: partitions, then shards, then the run, which opens it again.

    The partitions first, so that no roll-up hides a shard that is open; the run last, so that who
    sees it there sees all shards (see `Ledger.roll_up`).
    """
    ledger = Ledger(run_dir, commit.number, "redrive")
    partitions = partitions_of(resend.shard for resend in found)
    in_parallel(lambda partition: ledger.reopen(partition, generation), partitions)
    in_parallel(lambda each: ledger.redrive(each.shard, generation, each.redrive), found)
    if ledger.stopped():
        ledger.stop("lift", "redrive")
    run_dir.record_redrive(commit.number, generation)


def _settled(
    run_dir: RunDir, commit: Commit, generation: int
) -> Iterator[tuple[ShardPlan, Settled, Resend | None]]:
    """Settled shards; with what a call that was cut off has put on record for this generation."""
    ledger = Ledger(run_dir, commit.number, "redrive")
    plans = {plan.shard: plan for plan in run_dir.shards(commit.plan)}
    for shard, records in ledger.load(plans, brief=True):
        begun = records.redrives.get(generation)
        if records.settled is not None and (records.settled.rejects or begun):
            yield plans[shard], records.settled, Resend(shard, begun) if begun else None


def _of_shard(
    run_dir: RunDir,
    config: Config,
    commit: Commit,
    plan: ShardPlan,
    settled: Settled,
    reasons: Sequence[str],
) -> Resend | None:
    if not settled.reject_part or not settled.rejects:
        return None
    rejects = _table(run_dir.storage, settled.reject_part)
    manifest = _table(run_dir.storage, run_dir.layout.manifest(commit.plan, plan.shard))
    wanted = {
        spot
        for spot, reason in zip(_spots(rejects), rejects.column("reason").to_pylist(), strict=True)
        if not reasons or reason in reasons
    }
    pairs = zip(_spots(manifest), request_ordinals(manifest).tolist(), strict=True)
    chosen = [request for spot, request in pairs if request >= 0 and spot in wanted]
    if not chosen:
        return None
    ordinals = sorted(set(chosen))
    need = need_of_requests(manifest, packing_of(config))(ordinals)
    child = Child(ordinals=ranges_of(ordinals), need=need)
    return Resend(plan.shard, Redrive(sent=child, chunks=len(chosen)))


def _spots(table: pa.Table) -> Iterator[tuple[int, int, int]]:
    return zip(*(table.column(name).to_pylist() for name in INPUT_ORDER), strict=True)


def _table(storage: Storage, uri: str) -> pa.Table:
    # One thread a table: `_TABLES` of them are read at once.
    with storage.open(uri) as stream:
        return pq.read_table(stream, pre_buffer=False, use_threads=False)
