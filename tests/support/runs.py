"""A run directory as a long run leaves it, written by the ledger's own means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from reembed.config.schema import Config
from reembed.core.names import partition_id, shard_id
from reembed.core.plans import PartitionPlan, PlanSummary, ShardPlan
from reembed.core.records import Claim, Created, Need, Outcome, RunSettled, Settled
from reembed.ledger.commits import commit_plan
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine.quotas import Quotas
from reembed.storage.base import Storage

PLAN = "plan"
ROWS = 6500
_WIDE = Quotas(max_usd_nano=None, jobs=10**6, tokens=10**15, file_bytes=10**18)
_NEED = Need(usd_nano=10**8, tokens=10**6, jobs=1, input_bytes=10**7, result_bytes=10**8)


@dataclass(frozen=True)
class Made:
    """A run of `partitions` partitions of `each` shards of 6,500 rows."""

    storage: Storage
    layout: Layout
    partitions: int
    each: int

    @property
    def run_dir(self) -> RunDir:
        """The run directory."""
        return RunDir(self.storage, self.layout)

    def shards(self, partition: int) -> list[str]:
        """The shards of a partition."""
        return [shard_id(partition, seq) for seq in range(self.each)]

    def plan(self) -> None:
        """Write the plan and its commit."""
        for partition in range(self.partitions):
            plans = tuple(map(_plan, self.shards(partition)))
            record = PartitionPlan(partition=partition, shards=plans, totals={})
            self.storage.create(self.layout.partition(PLAN, partition), record.encode())
        number = self.partitions * self.each
        totals: dict[str, Any] = {"shards": number, "jobs": number, "chunks": number * ROWS}
        summary = PlanSummary(
            plan=PLAN, name="made", frozen={}, items=number * ROWS, totals=totals,
            partitions=tuple(range(self.partitions)), digest="0",
        )  # fmt: skip
        self.storage.create(self.layout.plan_summary(PLAN), summary.encode())
        config = Config.model_validate(
            {"name": "made", "run_dir": self.layout.run_dir, "source": {"files": ["/x/*"]}}
        )
        commit_plan(self.run_dir, config, summary, "")

    def ledger(self) -> Ledger:
        """Somebody's ledger."""
        return Ledger(self.run_dir, 1, "made")

    def settle(self, shards: list[str]) -> None:
        """Bring shards to their end, with their lines in the spend log."""
        ledger, spend = self.ledger(), ReservationLog(self.run_dir, 1)
        for shard in shards:
            attempt = f"{shard}/0"
            spend.reserve(attempt, 1, _NEED, _WIDE, lambda: 0.0)
            ledger.claim(shard, "0", Claim(holder="made", epoch=1))
            job = f"batches/{shard}"
            ledger.created(shard, "0", Created(job=job, display_name=f"made/{shard}/0", epoch=1))
            part = self.layout.part(1, shard)
            done = Outcome(state="SUCCEEDED", job=job, rows=ROWS, rows_uri=part)
            ledger.outcome(shard, "0", done)
            spend.release(attempt, 1, "end", 9e9)
            settled = Settled(
                generation=0, planned=ROWS, rows=ROWS, rejects=0, part=part, jobs=1, attempts=1,
                tokens={"text": 10**6},
            )  # fmt: skip
            ledger.settle(shard, settled)

    def begin(self, shards: list[str]) -> None:
        """Bring shards to where their jobs run."""
        ledger, numbers = self.ledger(), count()
        for shard in shards:
            ledger.claim(shard, "0", Claim(holder="made", epoch=1))
            job = f"batches/open-{next(numbers)}"
            ledger.created(shard, "0", Created(job=job, display_name=f"made/{shard}/0", epoch=1))

    def roll_up(self) -> None:
        """Roll up what is settled."""
        partitions = {
            partition_id(partition): self.shards(partition) for partition in range(self.partitions)
        }
        self.ledger().roll_up_all(partitions, 0)

    def finish(self) -> None:
        """Say that the run is settled."""
        number = self.partitions * self.each
        record = RunSettled(shards=number, rows=number * ROWS, rejects=0, jobs=number)
        newest = self.run_dir.newest_commit()
        assert newest is not None
        self.run_dir.record_settled(newest.commit.number, 0, record)

    def all_shards(self) -> Iterator[str]:
        """Every shard."""
        for partition in range(self.partitions):
            yield from self.shards(partition)


def _plan(shard: str) -> ShardPlan:
    return ShardPlan(
        shard=shard, chunks=ROWS, requests=ROWS, canaries=0, rejects=0, tokens={"text": 10**6},
        wire_bytes=10**7, result_bytes=10**8, usd_nano=10**8, fingerprint="f" * 64,
    )  # fmt: skip
