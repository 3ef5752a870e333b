"""The run directory of a large run at some moment of it, planted object by object in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.config.schema import Config
from reembed.core.names import display_name, partition_id, shard_id
from reembed.core.plans import PartitionPlan, PlanSummary, ShardPlan, digest_of
from reembed.core.records import (
    Commit,
    Created,
    Need,
    Outcome,
    ReservationLine,
    RolledAttempt,
    RolledShard,
    Rollup,
    Settled,
)
from reembed.driver.session import Session
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir
from reembed.machine.reservations import Fold, Reservations
from reembed.providers.base import Job
from support.memory import MemoryStorage

PLAN, RUN = "plan", "a1b2c3d4e5f6"
RUN_DIR = "/memory/run"
HOURS = 3600.0


@dataclass(frozen=True)
class Planted:
    """A run of shards alike: `settled` of them at the front, then those with running jobs.

    Args:
        storage: where it is planted.
        shards: of the whole run.
        per_partition: shards of a partition.
        rows: of a shard.
        running: jobs at the service.
        parts: plant the Parquet parts of settled shards too.
    """

    storage: MemoryStorage
    shards: int
    per_partition: int
    rows: int
    settled: int = 0
    running: int = 0
    parts: bool = False

    @cached_property
    def layout(self) -> Layout:
        """The names."""
        return Layout(RUN_DIR)

    @property
    def run_dir(self) -> RunDir:
        """The run directory."""
        return RunDir(self.storage, self.layout)

    @cached_property
    def config(self) -> Config:
        """A configuration whose quota just holds what runs."""
        return Config.model_validate(
            {
                "name": "scale",
                "run_dir": RUN_DIR,
                "source": {"files": ["gs://bucket/corpus/**"]},
                "batch": {"input": "file", "concurrent_jobs": max(1, self.running)},
                "service": {"base_url": "http://127.0.0.1:1"},
            }
        )

    def session(self) -> Session:
        """What a worker is given."""
        return Session(self.config, RUN, PLAN, 1, resumed=True)

    def plant(self) -> None:
        """Write the plan, its commit, and what the first shards left."""
        self.plant_partitions()
        totals = self._totals(self.shards)
        partitions = [
            PartitionPlan.decode(self.storage.read(s.uri), s.uri) for s in self._partitions()
        ]
        summary = PlanSummary(
            plan=PLAN, name="scale", frozen={}, items=self.shards * self.rows, totals=totals,
            partitions=tuple(range(self.partitions)), digest=digest_of(partitions),
        )  # fmt: skip
        self.storage.put(self.layout.plan_summary(PLAN), summary.encode())
        commit = Commit(
            number=1, run=RUN, plan=PLAN, digest=summary.digest, planned=summary.items,
            items=summary.items, frozen={}, key_salt="", key_hash="",
        )  # fmt: skip
        self.storage.put(self.layout.commit(1), commit.encode())
        self._plant_settled()
        self._plant_running()
        self._plant_log()

    def _partitions(self) -> Iterator[Any]:
        return self.storage.list(self.layout.partitions(PLAN))

    @property
    def partitions(self) -> int:
        """How many."""
        return -(-self.shards // self.per_partition)

    def plant_partitions(self) -> None:
        """Write the partitions' records alone: a plan whose pipeline has just ended."""
        found: dict[str, bytes] = {}
        for partition in range(self.partitions):
            members = self.members(partition)
            plans = tuple(self.plan_of(shard) for shard in members)
            record = PartitionPlan(
                partition=partition, shards=plans, totals=self._totals(len(members))
            )
            found[self.layout.partition(PLAN, partition)] = record.encode()
        self.storage.plant(found)

    def members(self, partition: int) -> list[str]:
        """The shards of a partition."""
        left = self.shards - partition * self.per_partition
        return [shard_id(partition, seq) for seq in range(min(self.per_partition, left))]

    def _name(self, number: int) -> str:
        return shard_id(*divmod(number, self.per_partition))

    def plan_of(self, shard: str) -> ShardPlan:
        """The plan of a shard."""
        fingerprint = f"{int(shard[:8]) * 10**6 + int(shard[9:]):064x}"
        return ShardPlan(
            shard=shard, chunks=self.rows, requests=self.rows, canaries=0, rejects=0,
            tokens={"text": 500 * self.rows}, wire_bytes=2500 * self.rows,
            result_bytes=12_800 * self.rows, usd_nano=50_000 * self.rows, fingerprint=fingerprint,
        )  # fmt: skip

    def _totals(self, shards: int) -> dict[str, Any]:
        rows = shards * self.rows
        return {"items": rows, "chunks": rows, "requests": rows, "shards": shards, "jobs": shards,
                "tokens": {"text": 500 * rows}}  # fmt: skip

    def settled_of(self, shard: str) -> Settled:
        """The record of its settlement."""
        part = self.layout.part(1, shard)
        return Settled(
            generation=0, planned=self.rows, rows=self.rows, rejects=0, part=part, jobs=1,
            attempts=1, tokens={"text": 500 * self.rows},
        )  # fmt: skip

    def _plant_settled(self) -> None:
        found: dict[str, bytes] = {}
        part = _part(self.rows) if self.parts else b""
        for first in range(0, self.settled, self.per_partition):
            partition, rolled = first // self.per_partition, {}
            whole = first + self.per_partition <= min(self.settled, self.shards)
            for shard in map(
                self._name, range(first, min(first + self.per_partition, self.settled))
            ):
                settled, job = self.settled_of(shard), f"batches/{shard}"
                folder = self.layout.shard_records(1, shard)
                done = Outcome(state="SUCCEEDED", job=job, rows=self.rows, rows_uri=settled.part)
                found[f"{folder}0.e1.claim"] = b"{}"
                found[f"{folder}0.created"] = self.created_of(shard).encode()
                found[f"{folder}0.outcome"] = done.encode()
                found[f"{folder}settled.g0"] = settled.encode()
                attempts = {"0": RolledAttempt(state="SUCCEEDED", job=job)}
                rolled[shard] = RolledShard(settled=settled, attempts=attempts)
                if self.parts:
                    found[settled.part] = part
            if whole:
                name = self.layout.rollup(1, partition_id(partition), 0)
                found[name] = Rollup(generation=0, shards=rolled).encode()
        self.storage.plant(found)

    def created_of(self, shard: str) -> Created:
        """The record of its job."""
        name = display_name(RUN, shard, "0", self.plan_of(shard).fingerprint)
        return Created(job=f"batches/{shard}", display_name=name, epoch=1)

    def _plant_running(self) -> None:
        found: dict[str, bytes] = {}
        for shard in self.running_shards():
            folder = self.layout.shard_records(1, shard)
            found[f"{folder}0.e1.claim"] = b'{"schema":2,"holder":"h","epoch":1}'
            found[f"{folder}0.created"] = self.created_of(shard).encode()
        self.storage.plant(found)

    def running_shards(self) -> list[str]:
        """The shards whose jobs run."""
        last = min(self.shards, self.settled + self.running)
        return [self._name(number) for number in range(self.settled, last)]

    def jobs(self, listed: int = 0) -> Iterator[Job]:
        """What the service lists: the running jobs, and so many of those that ended last."""
        for number in range(max(0, self.settled - listed), self.settled + self.running):
            shard = self._name(number)
            state: Any = "SUCCEEDED" if number < self.settled else "RUNNING"
            yield Job(f"batches/{shard}", self.created_of(shard).display_name, state, state)

    def reservations(self) -> Reservations:
        """The spend log's state: the lines of all shards that had a job, added a few at a time."""
        reservations, need = Reservations(), self.need()
        for number in range(self.settled):
            name = f"{self._name(number)}/0"
            reserve = ReservationLine(kind="reserve", attempt=name, epoch=1, need=need)
            # A job takes four hours, a hundred of them run at once.
            until = (number // 100) * 4 * HOURS + 48 * HOURS
            end = ReservationLine(kind="end", attempt=name, epoch=1, retained_until=until)
            reservations = reservations.add(reserve, end)
        reserves = [
            ReservationLine(kind="reserve", attempt=f"{shard}/0", epoch=1, need=need)
            for shard in self.running_shards()
        ]
        return reservations.add(*reserves)

    def need(self) -> Need:
        """What a shard takes."""
        plan = self.plan_of(shard_id(0, 0))
        return Need(
            usd_nano=plan.usd_nano, tokens=plan.total_tokens, jobs=1,
            input_bytes=plan.wire_bytes, result_bytes=plan.result_bytes,
        )  # fmt: skip

    def _plant_log(self) -> None:
        if self.settled or self.running:
            reservations = self.reservations()
            self.storage.put(
                self.layout.fold(1, reservations.lines), Fold(reservations=reservations).encode()
            )


def _part(rows: int) -> bytes:
    """A part with the right number of rows, and one thin column."""
    destination = io.BytesIO()
    pq.write_table(pa.table({"offset": pa.array([0] * rows, pa.int64())}), destination)
    return destination.getvalue()
