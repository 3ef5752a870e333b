"""What must hold once every process has ended: of the files, the money, and the reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from reembed.ledger.layout import Layout
from simulation.checks import Checks
from simulation.corpus import GENERATION, RUN_DIR, unit_vector
from simulation.files import columns_of

_ROW = ("key", "source_index", "embedding", "job")
_REJECT = ("key", "source_index", "reason", "job")

Rows = dict[str, tuple[str, bytes]]


class Ending:
    """Compares the files with the plan, after each settlement generation.

    Args:
        checks: what was seen on the way; takes the violations.
    """

    def __init__(self, checks: Checks) -> None:
        self.checks, self.disk = checks, checks.disk
        # Rows by shard and key, as the last settlement had them: job and vector.
        self._rows: dict[str, Rows] = {}
        self._planned = {
            plan.shard: {p.key: p for p in checks.corpus.planned if p.shard == plan.shard}
            for plan in checks.corpus.shards
        }

    def settled(self, generation: int, left: Mapping[str, str]) -> None:
        """Check every shard, and the money, at the end of a generation."""
        for plan in self.checks.corpus.shards:
            shard, folder = plan.shard, Layout(RUN_DIR).shard_records(1, plan.shard)
            asked = [uri.rsplit(".g", 1)[1] for uri in self.disk.under(f"{folder}redrive.g")]
            held = self.disk.objects.get(f"{folder}settled.g{max(map(int, asked), default=0)}")
            if held is None:
                self._fail(f"{shard} is not settled: {left.get(shard, 'no reason given')}")
            else:
                self._shard(shard, json.loads(held.data))
        for partition in sorted({plan.shard.split("-")[0] for plan in self.checks.corpus.shards}):
            self._rolled_up(partition, generation)
        if f"{Layout(RUN_DIR).run_settled(1, generation)}" not in self.disk.objects:
            self._fail(f"the run is not settled in generation {generation}")
        live = sorted(self.checks.spent.live.keys() - self.checks.late)
        if live:
            self._fail(f"reservations are still live at the end: {live}")

    def reports(self) -> None:
        """After the last audit: whatever was paid twice, or serves nothing, is in a report."""
        checks, remote = self.checks, self.checks.remote
        for (shard, ordinal), jobs in sorted(checks.answered.items()):
            unsaid = [
                name
                for name in jobs
                if name not in checks.reported and remote.jobs[name].attempt not in checks.accepted
            ]
            if len(unsaid) > 1:
                self._fail(f"{shard} request {ordinal} was paid in {unsaid}, and no audit says so")
            elif len(jobs) > 1:
                checks.outside["paid twice and reported"] += 1
        for job in remote.jobs.values():
            kept = checks.kept(job.attempt)
            if job.name not in (kept, *checks.reported):
                self._fail(f"{job.name} of {job.attempt} serves nothing, and no audit says so")
            if not kept and not checks.is_excused(job.attempt):
                self._fail(f"{job.name} of {job.attempt} was never adopted")

    def _fail(self, text: str) -> None:
        self.checks.fail(text)

    def _rolled_up(self, partition: str, generation: int) -> None:
        """The newest roll-up says what the partition's own records say."""
        named = {
            int(uri.rsplit(".g", 1)[1]): uri
            for uri in self.disk.under(f"{Layout(RUN_DIR).run(1)}/rollups/{partition}.g")
            if uri.rsplit(".g", 1)[1].isdigit()
        }
        shards = [p.shard for p in self.checks.corpus.shards if p.shard.startswith(partition)]
        asked = [
            uri for shard in shards for uri in self.disk.under(self._folder(shard) + "redrive.g")
        ]
        newest = max((int(uri.rsplit(".g", 1)[1]) for uri in asked), default=0)
        if newest not in named:
            self._fail(
                f"partition {partition} has no roll-up of {newest}, in generation {generation}"
            )
            return
        rolled = json.loads(self.disk.objects[named[newest]].data)["shards"]
        if sorted(rolled) != shards:
            self._fail(f"the roll-up of partition {partition} holds {sorted(rolled)}")
        for shard, said in rolled.items():
            settled = said["settled"]
            uri = f"{self._folder(shard)}settled.g{settled['generation']}"
            if json.loads(self.disk.get(uri).data) != settled:
                self._fail(f"{shard}: the roll-up says {settled}, the record differs")
            ended = {
                uri.rsplit("/", 1)[1].removesuffix(".outcome"): json.loads(self.disk.get(uri).data)
                for uri in self.disk.under(self._folder(shard))
                if uri.endswith(".outcome")
            }
            jobs = {path: outcome["job"] for path, outcome in ended.items()}
            if {path: one["job"] for path, one in said["attempts"].items()} != jobs:
                self._fail(f"{shard}: the roll-up says {said['attempts']}, ended are {jobs}")

    def _folder(self, shard: str) -> str:
        return Layout(RUN_DIR).shard_records(1, shard)

    def _shard(self, shard: str, settled: dict[str, Any]) -> None:
        planned = self._planned[shard]
        rows = self._table(settled["part"], _ROW)
        rejects = self._table(settled["reject_part"], _REJECT)
        keys = [*rows["key"], *rejects["key"]]
        if sorted(keys) != sorted(planned):
            lost, doubled = set(planned) - set(keys), [k for k, n in Counter(keys).items() if n > 1]
            self._fail(f"{shard}: keys lost {sorted(lost)}, doubled {doubled}, of {len(planned)}")
            return
        counts = settled["rows"], settled["rejects"], settled["planned"]
        if counts != (len(rows["key"]), len(rejects["key"]), len(keys)):
            self._fail(f"{shard}: settled says {counts}, the files differ")
        if settled["reject_codes"] != dict(Counter(rejects["reason"])):
            self._fail(f"{shard}: settled says {settled['reject_codes']}, the rejects differ")
        for table in (rows, rejects):
            if table["source_index"] != sorted(table["source_index"]):
                self._fail(f"{shard}: rows or rejects out of order")
        self._vectors(shard, rows)
        self._rejects(shard, rejects)
        self._grown(shard, rows)

    def _vectors(self, shard: str, rows: dict[str, list[Any]]) -> None:
        """Each row holds the vector of its own words, from a job that answered it."""
        remote = self.checks.remote
        for key, vector, job in zip(rows["key"], rows["embedding"], rows["job"], strict=True):
            planned = self._planned[shard][key]
            if np.abs(np.subtract(vector, unit_vector(planned.sent))).max() > 1e-5:
                self._fail(f"{shard}: {key} holds another's vector")
            if job not in self._jobs(shard, key) and not remote.jobs[job].unsteady:
                self._fail(f"{shard}: {key} is a row of {job}, which did not answer it")

    def _rejects(self, shard: str, rejects: dict[str, list[Any]]) -> None:
        """Nothing is a reject that was paid, or whose reason is not true."""
        checks = self.checks
        for key, reason in zip(rejects["key"], rejects["reason"], strict=True):
            attempts = {checks.remote.jobs[job].attempt for job in self._jobs(shard, key)}
            attempts -= checks.accepted
            if attempts and not any(map(checks.is_excused, attempts)):
                self._fail(f"{shard}: {key} was answered and billed, and is a reject")
            if reason == "stopped" and not checks.stopped_ever:
                self._fail(f"{shard}: {key} is said to be stopped, and nobody stopped the run")
            source = self.disk.objects.get(self._planned[shard][key].uri)
            changed = source is not None and source.generation != GENERATION
            if reason == "source_changed" and not changed:
                self._fail(f"{shard}: {key} is said to have changed, and its source did not")

    def _grown(self, shard: str, rows: dict[str, list[Any]]) -> None:
        """A later generation only adds rows; those that stood are the same, bit for bit."""
        found = {
            key: (job, np.asarray(vector, np.float32).tobytes())
            for key, vector, job in zip(rows["key"], rows["embedding"], rows["job"], strict=True)
        }
        for key, row in self._rows.get(shard, {}).items():
            if found.get(key) != row:
                self._fail(f"{shard}: {key} was a row of {row[0]}, and a redrive changed it")
        self._rows[shard] = found

    def _jobs(self, shard: str, key: str) -> list[str]:
        ordinal = self._planned[shard][key].ordinal
        return self.checks.answered.get((shard, -1 if ordinal is None else ordinal), [])

    def _table(self, uri: str, columns: tuple[str, ...]) -> dict[str, list[Any]]:
        if not uri:
            return {name: [] for name in columns}
        return columns_of(self.disk.get(uri).data, columns)
