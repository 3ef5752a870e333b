"""One seed: a corpus, a service, runners, users, faults; and what came of it."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from reembed.core.records import Commit
from reembed.errors import RunFailedError, StorageError, TransientError
from reembed.ledger.layout import Layout
from reembed.machine.quotas import Quotas
from simulation.call import Call, Setting
from simulation.checks import Checks
from simulation.corpus import CORPORA, GENERATION, PLAN, RUN, RUN_DIR, config_of, corpus
from simulation.disk import Disk
from simulation.ending import Ending
from simulation.faults import BEYOND, Faults
from simulation.kernel import EndlessError, Kernel, KilledError, Process
from simulation.remote import EPOCH, Remote
from simulation.runner import Parts
from simulation.users import Users

# Of a hundred seeds, so many have one fault that is outside the stated bounds.
_BEYOND_PERCENT = 10
_PLENTY = 10**12
_LONG = ("job_expired", "job_stuck", "job_slow_start", "source_changed")
_MOST_CLEAN_RUNS = 12
# One round settles no shard whose jobs must follow each other: so many do, an hour apart.
_MOST_CLEAN_ROUNDS = 40
_ROUND_SECONDS = 3600.0
LIST_LAG, TIMEOUT, LEASE = 60.0, 120.0, 120.0
# The protocol measures its waits with clocks that may drift by a thousandth.
_DRIFT = 5e-4
# How far the storage's clock is from the service's, in seconds; once it is plainly wrong.
_CLOCKS_APART = (0.0, 0.0, -2.0, 2.0, -300.0, 300.0, -4e7)


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
        self.config = config_of(rng.choice(("file", "file", "inline")), rng.choice((1, 2, 4, 4)))
        self.quotas = self._quotas(rng, tight)
        self.disk = Disk(self.kernel, EPOCH + rng.choice(_CLOCKS_APART))
        shards = {plan.fingerprint[:8]: plan.shard for plan in self.corpus.shards}
        self.remote = Remote(self.kernel, self.quotas, seed, shards, 0.95 * LIST_LAG)
        self.checks = Checks(self.disk, self.remote, self.corpus, self.quotas)
        # Which attempt such a seed may pay twice is not known; that it is reported is judged.
        self.checks.excuse_all = self.beyond == "list_hides_beyond"
        self.ending = Ending(self.checks)
        self.users = Users(self)
        self.runners = runners or rng.choice((1, 2, 2, 3))
        self.one_round = rng.random() < 0.2
        self.redrives = rng.choice((0, 0, 1, 1, 2))
        self.left: dict[str, str] = {}
        self.accepting = self.assuming = False
        self.resubmit = rng.random() < 0.3
        self.folder = Path()
        self._started = 0
        self._plant_files()

    def _quotas(self, rng: random.Random, tight: bool) -> Quotas:
        """Quotas that hold the largest attempt, often not much more."""
        plans = self.corpus.shards
        cap = sum(plan.usd_nano for plan in plans) * rng.choice((1, 1, 2)) // rng.choice((1, 2))
        files = max(plan.wire_bytes + plan.result_bytes for plan in plans)
        return Quotas(
            max_usd_nano=cap if rng.random() < 0.3 else None,
            jobs=rng.choice((1, 2, 3)) if tight else 100,
            tokens=max(plan.total_tokens for plan in plans) * 2 if tight else _PLENTY,
            file_bytes=files * len(plans) * 6 if tight else _PLENTY,
        )

    def _plant_files(self) -> None:
        """What stands before the first process: the plan, its sources, the commit."""
        layout, place = Layout(RUN_DIR), self.disk.place
        for shard, data in self.corpus.manifests.items():
            place(layout.manifest(PLAN, shard), data, GENERATION)
        for partition, data in self.corpus.partitions.items():
            place(layout.partition(PLAN, partition), data, GENERATION)
        for uri, data in self.corpus.sources.items():
            place(uri, data, GENERATION)
        place(layout.commit(1), _commit(len(self.corpus.planned)), GENERATION)

    # The acts.

    def run(self) -> Report:
        """Run the seed to its end and check it."""
        with tempfile.TemporaryDirectory(prefix="reembed-sim-", dir=_memory()) as folder:
            self.folder = Path(folder)
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
        self.users.change_sources()
        for generation in range(self.redrives + 1):
            if generation:
                self.faults.renew()
                if not self.users.redrive(generation):
                    break
                self.checks.outside[f"redrives, generation {generation}"] += 1
            self._act(generation)
            if self.checks.violations:
                return
        self._last_audit()

    def _act(self, generation: int) -> None:
        """Everything goes wrong, then nothing does; then the shards must be settled."""
        for _ in range(self.runners):
            self.spawn(self.random.choice((0.0, 0.0, 30.0, 400.0)))
        if self.one_round:
            self.users.schedule(self.random.choice((200.0, 3600.0)))
        if self.random.random() < 0.2:
            self.users.stop()
        self.kernel.run()
        self.faults.calm = True
        self._lift()
        settled = Layout(RUN_DIR).run_settled(1, generation)
        for _ in range(_MOST_CLEAN_ROUNDS if self.one_round else _MOST_CLEAN_RUNS):
            if settled in self.disk.objects or self.checks.violations:
                break
            # Kills and frozen processes can take a week; then the user is asked, and decides.
            self.assuming = any("--assume-lost" in reason for reason in self.left.values())
            self.left.clear()
            # The user has read what cannot be used, and accepts to pay for it again.
            self.accepting = self.accepting or bool(self.checks.suspects)
            self.spawn(_ROUND_SECONDS if self.one_round else 0.0, self.one_round)
            self.kernel.run()
        if not self.checks.violations:
            self.ending.settled(generation, self.left)

    def _last_audit(self) -> None:
        """Somebody looks once more, when all that was late has come."""
        self.faults.calm = True
        process = self.process()
        self.kernel.spawn(process, lambda: Call(self.setting(), process).audit())
        self.kernel.run()
        self.ending.reports()

    def _lift(self) -> None:
        """For the end: no cap and no stop any more, so that every chunk must come out."""
        self.quotas = replace(self.quotas, max_usd_nano=None)
        self.checks.quotas = self.quotas
        if self.checks.stopped_at is not None:
            prefix = Layout(RUN_DIR).stops(1)
            uri = f"{prefix}lift.{1 + len(self.disk.under(prefix))}"
            self.disk.write(uri, b'{"schema":2,"reason":"go on"}', False)

    # Processes.

    def process(self) -> Process:
        """A process to be: its clock runs at a rate of its own, from a start of its own."""
        self._started += 1
        rate = 1 + self.random.uniform(-_DRIFT, _DRIFT)
        return Process(self.kernel, f"p{self._started}", rate, self.random.uniform(0, 1e6))

    def spawn(self, delay: float, one_round: bool = False) -> None:
        """Start a call of the command after a while."""
        process = self.process()
        self.kernel.spawn(process, lambda: self._live(process, one_round), delay)

    def _live(self, process: Process, one_round: bool) -> None:
        """A process from its start to whatever ends it; a dead one has a successor."""
        again = False
        process.began, process.accepts = self.kernel.now, self.accepting
        try:
            call = Call(self.setting(), process)
            call.run(one_round)
            self._after(process, call.left)
        except KilledError:
            again = True
        except (StorageError, TransientError) as err:
            self.kernel.note(f"{process.name} ends: {err}")
            again = True
        except RunFailedError as err:
            self.checks.fail(f"{process.name} fails: {err}")
        except Exception as err:
            self.checks.fail(f"{process.name} crashes: {type(err).__name__}: {err}")
            if self.kernel.trace is not None:
                raise
        self.kernel.note(f"{process.name} is gone")
        if again:
            self.spawn(self.random.choice((0.0, 5.0, 200.0, 700.0, 100_000.0)), one_round)

    def _after(self, process: Process, left: dict[str, str]) -> None:
        self.left.update(left)
        if left:
            self.kernel.note(f"{process.name} leaves {left}")
        # Who left before everything was settled comes again, as from a scheduler.
        if any(reason == "interrupted" for reason in left.values()):
            self.spawn(self.random.choice((10.0, 1000.0)))
        # Some users read at once what cannot be used, and accept; the others at the end.
        asked = any("accept-repay" in reason for reason in left.values())
        if asked and not self.accepting and self.random.random() < 0.5:
            self.accepting = True
            self.spawn(self.random.choice((10.0, 1000.0)))

    def setting(self) -> Setting:
        """What every process is given."""
        return Setting(
            self.parts,
            self.config,
            self.quotas,
            self.disk,
            self.remote,
            self.checks,
            self.corpus,
            self.folder,
            self.resubmit,
            self.assuming,
        )


def _commit(planned: int) -> bytes:
    record = Commit(
        number=1,
        run=RUN,
        plan=PLAN,
        digest="",
        planned=planned,
        items=planned,
        frozen={},
        key_salt="",
        key_hash="",
    )
    return record.encode()


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run_seed(seed: int, parts: Parts | None = None, **more: object) -> Report:
    """Run one seed."""
    return SimWorld(seed, parts, **more).run()  # type: ignore[arg-type]
