"""One seed: a corpus, a service, runners, a user, faults; and what came of it."""

from __future__ import annotations

import io
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.machine.book import Quotas
from reembed.core.machine.rules import Rules
from reembed.core.plans import StripePlan
from reembed.driver.state import RunState
from reembed.driver.tools import Tools
from reembed.errors import RunFailedError, StorageError
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.spend import SpendLog
from simulation.checks import Checks
from simulation.client import SimClient
from simulation.corpus import CORPORA, PLAN, RUN, RUN_DIR, config_of, corpus
from simulation.disk import Disk, SimStorage
from simulation.faults import BEYOND, Faults
from simulation.kernel import EndlessError, Kernel, KilledError, Process
from simulation.remote import Remote
from simulation.runner import Parts, SimClock, SimRunner

# Of a hundred seeds, so many have one fault that is outside the stated bounds.
_BEYOND_PERCENT = 10
_PLENTY = 10**12
_LONG = ("job_expired", "job_stuck", "job_slow_start")
_MOST_CLEAN_RUNS = 12
LIST_LAG, TIMEOUT, LEASE = 60.0, 120.0, 120.0
# So that a seed has a few folds, although it has but some dozens of lines.
FOLD_EVERY = 4
# The protocol measures its waits with clocks that may drift by a thousandth.
_DRIFT = 5e-4


@dataclass(slots=True)
class Report:
    """What a seed showed."""

    seed: int
    violations: list[str]
    counts: Counter[tuple[str, str]]
    outside: Counter[str] = field(default_factory=Counter)
    quota_hits: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    steps: int = 0
    beyond: str = ""


class SimTools(Tools):
    """Tools whose manifests are parsed once for all processes: they never change."""

    def manifest(self, shard: str) -> pa.Table:
        with self.storage.open(self.layout.manifest(self.plan, shard)) as stream:
            data = stream.read()
        return parsed(data)


@lru_cache(1000)
def parsed(data: bytes) -> pa.Table:
    """A Parquet file as a table."""
    return pq.read_table(io.BytesIO(data))


class SimWorld:
    """Everything of one seed.

    Args:
        seed: decides all.
        parts: the code under test.
        runners: processes at a time; 0 lets the seed choose 1 to 3.
        trace: is given a line for all that happens.
        only: switch on no other faults than these.
    """

    def __init__(
        self,
        seed: int,
        parts: Parts | None = None,
        runners: int = 0,
        trace: Callable[[str], None] | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        self.seed, self.parts = seed, parts or Parts()
        rng = self.random = random.Random(seed)
        beyond = rng.choice(sorted(BEYOND)) if rng.randrange(100) < _BEYOND_PERCENT else ""
        self.beyond = beyond if only is None else ""
        tight = rng.random() < 0.4
        # Who waits for room asks every few seconds: two days of that are too many steps.
        self.faults = Faults(seed, self.beyond, only, _LONG if tight else ())
        self.kernel = Kernel(seed, self.faults)
        self.kernel.trace = trace
        self.corpus = corpus(rng.randrange(CORPORA))
        self.config = config_of(rng.choice(("file", "file", "inline")), rng.choice((2, 4)))
        self.quotas = self._quotas(rng, tight)
        self.disk = Disk(self.kernel, rng.uniform(1e9, 2e9))
        shards = {plan.fingerprint[:8]: plan.shard for plan in self.corpus.shards}
        self.remote = Remote(self.kernel, self.quotas, seed, shards, 0.95 * LIST_LAG)
        self.checks = Checks(self.disk, self.remote, self.corpus, self.quotas)
        # What such a seed may break is counted, not judged.
        self.checks.excuse_all = self.beyond == "list_hides_beyond"
        self.runners = runners or rng.choice((1, 2, 2, 3))
        self.left: dict[str, str] = {}
        self._started = 0
        self._accept_repay = self._assume_lost = False
        self._resubmit = rng.random() < 0.3
        self._folder = Path()
        self._settle_manifests()

    def _quotas(self, rng: random.Random, tight: bool) -> Quotas:
        """Quotas that hold the largest attempt, often not much more."""
        plans = self.corpus.shards
        cap = sum(plan.usd_nano for plan in plans) * rng.choice((1, 1, 2)) // rng.choice((1, 2))
        files = max(plan.wire_bytes + plan.result_bytes for plan in plans)
        return Quotas(
            max_usd_nano=cap if rng.random() < 0.3 else None,
            jobs=rng.choice((1, 2, 3)) if tight else 100,
            tokens=max(plan.total_tokens for plan in plans) * 2 if tight else _PLENTY,
            file_bytes=files * len(plans) * 4 if tight else _PLENTY,
        )

    def _settle_manifests(self) -> None:
        layout = Layout(RUN_DIR)
        for shard, data in self.corpus.manifests.items():
            self.disk.write(layout.manifest(PLAN, shard), data, False)
        for stripe, plans in self.corpus.stripes.items():
            record = StripePlan(stripe=int(stripe), shards=plans, totals={})
            self.disk.write(layout.stripe(PLAN, int(stripe)), record.encode(), False)

    # Processes.

    def run(self) -> Report:
        """Run the seed to its end and check it."""
        with tempfile.TemporaryDirectory(prefix="reembed-sim-", dir=_memory()) as folder:
            self._folder = Path(folder)
            try:
                self._run()
            except EndlessError as err:
                self.checks.fail(f"it does not end: {err}")
        return Report(
            self.seed,
            self.checks.violations,
            self.faults.counts,
            self.checks.outside,
            self.remote.quota_hits,
            len(self.remote.jobs),
            self.kernel.steps,
            self.beyond,
        )

    def _run(self) -> None:
        for _ in range(self.runners):
            self._spawn(self.random.choice((0.0, 0.0, 30.0, 400.0)))
        if self.random.random() < 0.2:
            self._spawn_user()
        self.kernel.run()
        self.faults.calm = True
        self._lift()
        for _ in range(_MOST_CLEAN_RUNS):
            self.left.clear()
            self._spawn(0.0)
            self.kernel.run()
            # The user has read what was lost, and accepts to pay for it again.
            self._accept_repay = self.checks.lost_results
            # Kills and frozen processes can take a week; then the user is asked, and decides.
            self._assume_lost = any("--assume-lost" in reason for reason in self.left.values())
            if not self.left or self.checks.violations:
                break
        if not self.checks.violations:
            self.checks.at_end(self.left)

    def _lift(self) -> None:
        """For the end: no cap and no stop any more, so that every chunk must come out."""
        self.quotas = Quotas(None, self.quotas.jobs, self.quotas.tokens, self.quotas.file_bytes)
        self.checks.quotas = self.quotas
        if self.checks.stopped_at is not None:
            prefix = Layout(RUN_DIR).stops(1)
            number = 1 + sum(1 for uri in self.disk.objects if uri.startswith(prefix))
            uri = f"{prefix}lift.{number}"
            self.disk.write(uri, b'{"schema":1,"reason":"go on"}', False)

    def _process(self) -> Process:
        self._started += 1
        rate = 1 + self.random.uniform(-_DRIFT, _DRIFT)
        return Process(self.kernel, f"p{self._started}", rate, self.random.uniform(0, 1e6))

    def _spawn(self, delay: float) -> None:
        process = self._process()
        self.kernel.spawn(process, lambda: self._live(process), delay)

    def _live(self, process: Process) -> None:
        """A process from its start to whatever ends it; a dead one has a successor."""
        again = False
        try:
            self._drive(process)
        except KilledError:
            again = True
        except StorageError as err:
            self.kernel.note(f"{process.name} ends: {err}")
            again = True
        except RunFailedError as err:
            self.checks.fail(f"{process.name} fails: {err}")
        except Exception as err:
            self.checks.fail(f"{process.name} crashes: {type(err).__name__}: {err}")
            if self.kernel.trace is not None:
                raise
        finally:
            process.alive = False
        self.kernel.note(f"{process.name} is gone")
        if again:
            self._spawn(self.random.choice((0.0, 5.0, 200.0, 700.0, 100_000.0)))

    def _drive(self, process: Process) -> None:
        scratch = self._folder / process.name
        scratch.mkdir()
        tools = self._tools(process, scratch)
        offset = tools.ledger.storage_now() - tools.clock.now()
        state = RunState(RUN, self.quotas, tools.clock, offset)
        runner = SimRunner(tools, state, process, self.parts)
        runner.run(self.corpus.shards)
        stripes = {s: [p.shard for p in plans] for s, plans in self.corpus.stripes.items()}
        tools.ledger.roll_up_all(stripes, 0)
        self.left.update(runner.left)
        if runner.left:
            self.kernel.note(f"{process.name} leaves {runner.left}")
        if any("RESULT_LOST" in reason for reason in runner.left.values()):
            if not any(job.message == "gone" for job in self.remote.jobs.values()):
                self.checks.fail("a result is said to be lost that is there")
            self.checks.lost_results = True
        # Who left before everything was settled comes again, as from a scheduler.
        if any(reason == "interrupted" for reason in runner.left.values()):
            self._spawn(self.random.choice((10.0, 1000.0)))

    def _tools(self, process: Process, scratch: Path) -> Tools:
        layout, clock = Layout(RUN_DIR), SimClock(process)
        storage = SimStorage(self.disk, process)
        checks = self.checks
        return SimTools(
            config=self.config,
            commit=1,
            plan=PLAN,
            rules=self._rules(process.name),
            layout=layout,
            storage=storage,
            service=SimClient(self.remote, process, TIMEOUT, checks),
            # A process is one greenlet, so that it reads in one thread.
            ledger=self.parts.ledger(storage, layout, 1, process.name, at_once=1),
            spend=SpendLog(storage, layout, 1, at_once=1, fold_every=FOLD_EVERY),
            clock=clock,
            scratch=scratch,
        )

    def _rules(self, holder: str) -> Rules:
        return Rules(
            run=RUN,
            holder=holder,
            max_attempts=self.config.batch.max_attempts,
            poll=self.config.batch.poll_seconds,
            lease=LEASE,
            request_timeout=TIMEOUT,
            list_lag=LIST_LAG,
            stuck=24 * 3600.0,
            result_life=48 * 3600.0,
            inline=self.config.batch.input,
            metadata_echo=True,
            resubmit_stuck=self._resubmit,
            accept_repay=self._accept_repay,
            hold=900.0,
            assume_lost=self._assume_lost,
        )

    def _spawn_user(self) -> None:
        """The user's `cancel`: a stop record in mid run, sometimes lifted again."""
        process = self._process()
        ledger = Ledger(SimStorage(self.disk, process), Layout(RUN_DIR), 1, "user")

        def stop() -> None:
            try:
                ledger.stop("stop", "enough")
                if self.random.random() < 0.5:
                    self.kernel.pause(self.random.choice((1.0, 300.0, 5_000.0)))
                    ledger.stop("lift", "go on")
            except (KilledError, StorageError):
                self.kernel.note("the user's stop was not written")

        self.kernel.spawn(process, stop, self.random.uniform(0, 2000))


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run_seed(seed: int, parts: Parts | None = None, **more: object) -> Report:
    """Run one seed."""
    return SimWorld(seed, parts, **more).run()  # type: ignore[arg-type]
