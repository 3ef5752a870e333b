"""How much of the token quota is in use over days of virtual time, by the real machine."""

from __future__ import annotations

import bisect
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from reembed.config.job_limits import JobLimits
from reembed.config.schema import Config
from reembed.core.canaries import plan_canaries
from reembed.core.pack import Weights, pack
from reembed.core.plans import PartitionPlan, ShardPlan
from reembed.core.records import Need, Outcome, ReservationLine, ordinals_of
from reembed.driver.context import Context
from reembed.driver.perform import Performer
from reembed.driver.shared_state import SharedStateStore
from reembed.errors import QuotaError, RemoteNotFoundError
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine import actions as act
from reembed.machine.endings import split_attempt
from reembed.machine.quotas import Quotas
from reembed.machine.reduce import FileWritten, Result
from reembed.machine.reservations import Reservations
from reembed.machine.rules import Rules
from reembed.machine.states import PendingOutcome, Prepared, ShardState
from reembed.providers.base import Job, JobStats, RemoteFile
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.storage.base import Stat
from simulation.disk import Disk, SimStorage
from simulation.faults import Faults
from simulation.kernel import Kernel, Process
from simulation.runner import Parts, SimClock, SimRunner

RUN, RUN_DIR, QUOTA = "use", "/use/run", 500_000
HOUR = 3600.0
# Seconds that things take where the simulator gives none.
UPLOAD, CREATE, COLLECT = 4.0, 1.0, 15.0
RAMP = 0.5 * HOUR


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is measured: `real` is the service's token quota, `QUOTA` the configured one."""

    real: int = QUOTA
    processes: int = 1
    shards: int = 100
    turnaround: float = 4 * HOUR
    largest_chunk: int = 1024
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Use:
    """What came of it: shares of the real quota, while work remains."""

    reserved: float
    enqueued: float
    jobs: int
    refusals: int
    splits: int
    settled: int
    peak: int
    hours: float


class TokenService:
    """`BatchService` with a quota of enqueued tokens and jobs that all take the same time."""

    def __init__(self, kernel: Kernel, scenario: Scenario) -> None:
        self.kernel, self.scenario = kernel, scenario
        self.files: dict[str, int] = {}
        self.jobs: dict[str, tuple[str, int, float]] = {}
        self.active = self.refusals = self.peak = 0
        self.curve: list[tuple[float, int]] = []

    def upload(self, path: Path, name: str, mime_type: str) -> RemoteFile:
        self.kernel.pause(UPLOAD)
        self.files[name] = int(path.read_bytes())
        return RemoteFile(name, 1, mime_type)

    def create_from_file(self, model: str, display_name: str, file_name: str, priority: int) -> Job:
        self.kernel.pause(CREATE)
        if file_name not in self.files:
            raise RemoteNotFoundError(f"{file_name} is not there", 404)
        tokens = self.files[file_name]
        if self.active + tokens > self.scenario.real:
            self.refusals += 1
            raise QuotaError("quota exceeded", 429)
        name = f"batches/{len(self.jobs)}"
        self.jobs[name] = (display_name, tokens, self.kernel.now)
        self._enqueue(tokens)
        end = self.kernel.now + self.scenario.turnaround
        self.kernel.at(end, lambda: self._enqueue(-tokens))
        return self.get(name)

    def _enqueue(self, tokens: int) -> None:
        self.active += tokens
        self.peak = max(self.peak, self.active)
        self.curve.append((self.kernel.now, self.active))

    def get(self, name: str) -> Job:
        display_name, _, created = self.jobs[name]
        done = self.kernel.now >= created + self.scenario.turnaround
        job_state = "SUCCEEDED" if done else "RUNNING"
        at = datetime.fromtimestamp(created, UTC).isoformat()
        return Job(
            name=name,
            display_name=display_name,
            state=job_state,  # type: ignore[arg-type]
            raw_state=f"BATCH_STATE_{job_state}",
            stats=JobStats(1, 1, 0, 0),
            error=None,
            create_time=at,
            end_time=at if done else "",
            input_file="",
            responses_file="",
        )

    def list_jobs(self) -> Iterator[Job]:
        return iter([self.get(name) for name in self.jobs])

    def fetch(self, job: Job, path: Path) -> int:
        return 0

    def delete_file(self, name: str) -> None:
        self.files.pop(name, None)


class IndexedStorage(SimStorage):
    """The simulator's storage, with listings that do not look at every object."""

    def list(self, prefix: str) -> Iterator[Stat]:
        disk = self._disk
        index = disk.__dict__.setdefault("index", [])
        for uri in list(disk.objects)[len(index) :]:
            bisect.insort(index, uri)
        at = bisect.bisect_left(index, prefix)
        found = []
        while at < len(index) and index[at].startswith(prefix):
            found.append(disk.stat(index[at]))
            at += 1
        return iter(found)


class Measurement:
    """Shards as the packer makes them, processes over them, and the log as it grows."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.kernel = Kernel(scenario.seed, Faults(scenario.seed, only=()), max_steps=10**7)
        self.disk = Disk(self.kernel, 1e9)
        self.service = TokenService(self.kernel, scenario)
        self.sizes: dict[str, list[int]] = {}
        self.plans = self._pack()
        partition = PartitionPlan(partition=0, shards=tuple(self.plans), totals={})
        self.disk.write(Layout(RUN_DIR).partition("plan", 0), partition.encode(), False)
        self.curve: list[tuple[float, int]] = []
        self.reservations = Reservations()
        self.refusals = self.splits = 0
        self.disk.watch = self._wrote

    def _pack(self) -> list[ShardPlan]:
        rng = np.random.default_rng(self.scenario.seed)
        largest = self.scenario.largest_chunk
        count = self.scenario.shards * (QUOTA // 20) // (largest * 3 // 5)
        tokens = rng.integers(largest // 5, largest + 1, count)
        ones = np.ones(count, np.int64)
        limits = JobLimits(10_000, QUOTA // 20, 10**12, 10**12)
        plans = []
        for n, (start, end) in enumerate(pack(Weights(ones, tokens, ones, ones, -ones), limits)):
            sizes = tokens[start:end].tolist()
            repeated = [sizes[canary.original] for canary in plan_canaries(len(sizes))]
            shard = f"00000000-{n:06}"
            self.sizes[shard] = sizes
            plans.append(
                ShardPlan(
                    shard=shard,
                    chunks=len(sizes),
                    requests=len(sizes),
                    canaries=len(repeated),
                    rejects=0,
                    tokens={"text": sum(sizes) + sum(repeated)},
                    wire_bytes=len(sizes),
                    result_bytes=len(sizes),
                    usd_nano=sum(sizes),
                    fingerprint=f"{n:064x}",
                )
            )
        return plans

    def _wrote(self, uri: str, data: bytes, *_: object) -> None:
        if "/spend/" in uri:
            line = ReservationLine.decode(data, uri)
            self.reservations = self.reservations.add(line)
            self.refusals += line.kind == "refused"
            self.curve.append((self.kernel.now, self.reservations.used(0.0).tokens))
        elif uri.endswith(".outcome"):
            self.splits += bool(json.loads(data)["children"])

    def run(self) -> Use:
        """Let every process settle its shards, in virtual time."""
        with tempfile.TemporaryDirectory(prefix="reembed-use-") as folder:
            for number in range(self.scenario.processes):
                process = Process(self.kernel, f"p{number}", 1.0, 0.0)
                scratch = Path(folder) / process.name
                scratch.mkdir()
                runner = self._runner(process, scratch)
                mine = self.plans[number :: self.scenario.processes]
                self.kernel.spawn(process, lambda r=runner, m=mine: r.run(m))
            self.kernel.run()
        settled = sum(uri.endswith("settled.g0") for uri in self.disk.objects)
        # Work remains until the last job is created.
        until = max(created for _, _, created in self.service.jobs.values())
        return Use(
            reserved=_share(self.curve, RAMP, until, self.scenario.real),
            enqueued=_share(self.service.curve, RAMP, until, self.scenario.real),
            jobs=len(self.service.jobs),
            refusals=self.refusals,
            splits=self.splits,
            settled=settled,
            peak=self.service.peak,
            hours=until / HOUR,
        )

    def _runner(self, process: Process, scratch: Path) -> SimRunner:
        run_dir = RunDir(IndexedStorage(self.disk, process), Layout(RUN_DIR))
        clock = SimClock(process)
        quotas = Quotas(tokens=QUOTA, jobs=100, file_bytes=10**15)
        context = Context(
            config=Config.model_validate({"name": "use", "source": {"files": ["*"]}}),
            commit=1,
            plan="plan",
            rules=_rules(process.name),
            run_dir=run_dir,
            service=self.service,  # type: ignore[arg-type]
            ledger=Ledger(run_dir, 1, process.name, max_concurrent=1),
            spend=ReservationLog(run_dir, 1, max_concurrent=1),
            clock=clock,
            scratch=scratch,
        )
        shared = SharedStateStore(RUN, quotas, clock, self.disk.offset)
        parts = Parts(performer=self._performer)
        return SimRunner(context, shared, process, parts, lambda attempt: None)

    def _performer(self, context: Context, shared: SharedStateStore) -> Any:
        return _Light(self, context, shared)

    def need(self, shard: str, ordinals: Any) -> Need:
        """What some requests of a shard take."""
        sizes = [self.sizes[shard][n] for n in ordinals]
        return Need(
            usd_nano=sum(sizes),
            tokens=sum(sizes),
            jobs=1,
            input_bytes=len(sizes),
            result_bytes=len(sizes),
        )


class _Light:
    """The real performer for all that touches quotas; contents are left out."""

    def __init__(self, world: Measurement, context: Context, shared: SharedStateStore) -> None:
        self.world, self.context, self.shared = world, context, shared
        self.real = Performer(context, shared)

    def perform(self, state: ShardState, action: act.Action) -> Result:
        shard = state.plan.shard
        if isinstance(action, act.Prepare):
            path = self.context.scratch / f"{shard}-{action.attempt}"
            path.write_text(str(state.attempts[action.attempt].need.tokens))
            return Prepared(str(path), 1, 1)
        if isinstance(action, act.Join):
            self.world.kernel.pause(COLLECT)
            created = state.attempts[action.attempt].created
            assert created is not None
            uri = self.context.layout.part(1, shard)
            if action.attempt != "0":
                name = f"{action.attempt}.{'0' * 16}.rows.parquet"
                uri = self.context.layout.work(1, shard, name)
            return PendingOutcome(Outcome(state="SUCCEEDED", job=created.job, rows=1, rows_uri=uri))
        if isinstance(action, act.ClassifyFailure):
            self.shared.expect_reservations()
            own = state.attempts[action.attempt].ordinals
            ordinals = ordinals_of(own) if own else list(range(state.plan.requests))
            pieces = split_attempt(action.attempt, ordinals, 2, lambda o: self.world.need(shard, o))
            return PendingOutcome(Outcome(state="NOT_SENT", job="", children=pieces))
        if isinstance(action, act.WritePart | act.WriteRejects):
            return FileWritten(self.context.layout.part(1, shard))
        return self.real.perform(state, action)


def _rules(holder: str) -> Rules:
    return Rules(
        run=RUN,
        holder=holder,
        max_attempts=4,
        poll=(60.0, 300.0),
        lease=120.0,
        request_timeout=60.0,
        list_lag=60.0,
        stuck_after=1e9,
        job_list_retention=7 * 24 * HOUR,
        capabilities=CAPABILITIES,
        inline="file",
    )


def _share(curve: list[tuple[float, int]], start: float, end: float, quota: int) -> float:
    """The mean of a step function between two times, as a share of the quota."""
    area, level, at = 0.0, 0, start
    for time, value in [*curve, (end, 0)]:
        moment = min(max(time, start), end)
        area += level * (moment - at)
        level, at = value, moment
    return area / ((end - start) * quota)


def measure(scenario: Scenario) -> Use:
    """Run a scenario."""
    random.seed(scenario.seed)
    return Measurement(scenario).run()


SCENARIOS = {
    "as configured": Scenario(shards=100),
    "as configured, chunks of up to 8192": Scenario(shards=60, largest_chunk=8192),
    "as configured, three processes": Scenario(shards=100, processes=3),
    "three fifths of it": Scenario(real=300_000, shards=60),
    "a seventh of it, two processes": Scenario(real=70_000, shards=20, processes=2),
    "three fifths of it, three processes": Scenario(real=300_000, shards=60, processes=3),
}


def table(uses: dict[str, Use]) -> str:
    """The scenarios side by side."""
    lines = [
        "| the service's quota | reserved | enqueued | jobs | cut | 429 | hours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, use in uses.items():
        lines.append(
            f"| {name} | {use.reserved:.1%} | {use.enqueued:.1%} | {use.jobs} | {use.splits} | "
            f"{use.refusals} | {use.hours:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table({name: measure(scenario) for name, scenario in SCENARIOS.items()}))
