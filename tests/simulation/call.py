"""One call of the command, as the main job makes it: drive, audit, count, record the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from reembed.config.schema import Config
from reembed.core.plans import ShardPlan
from reembed.core.records import RunSettled
from reembed.driver.context import Context
from reembed.driver.session import rules_of
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.layout import Layout
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine.quotas import Quotas
from reembed.machine.rules import Rules
from reembed.runs.report import count_run, require_closed, roll_up
from simulation.checks import Checks
from simulation.client import SimClient
from simulation.corpus import PLAN, RUN, RUN_DIR, Corpus
from simulation.disk import Disk, SimStorage
from simulation.files import parsed
from simulation.kernel import Process
from simulation.remote import Remote
from simulation.runner import Parts, SimClock, SimRunner

# So that a seed has a few folds, although it has but some dozens of lines.
_FOLD_EVERY = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """What every process of a seed is given."""

    parts: Parts
    config: Config
    quotas: Quotas
    disk: Disk
    remote: Remote
    checks: Checks
    corpus: Corpus
    folder: Path
    resubmit: bool
    assume_lost: bool


class SimTools(Context):
    """Context whose manifests are parsed once for all processes: they never change."""

    def manifest(self, shard: str) -> pa.Table:
        with self.storage.open(self.layout.manifest(self.plan, shard)) as stream:
            data = stream.read()
        return parsed(data)


class Call:
    """One process; `left` says which shards it left, and why.

    Args:
        setting: of the seed.
        process: in the kernel.
    """

    def __init__(self, setting: Setting, process: Process) -> None:
        self._setting, self._process = setting, process
        self._run_dir = RunDir(SimStorage(setting.disk, process), Layout(RUN_DIR))
        self._client = SimClient(
            setting.remote, process, setting.config.service.timeout_seconds, setting.checks
        )
        self.left: dict[str, str] = {}

    def run(self, one_round: bool) -> None:
        """`reembed run`, or `advance` with `one_round`, on what is committed."""
        before = self._run_dir.newest_commit()
        assert before is not None
        if before.settled:
            return
        self._drive(self._setting.corpus.shards, one_round, before.generation)
        roll_up(self._run_dir, before.commit, before.generation)
        self.audit()
        counts = count_run(self._run_dir, before.commit)
        if counts.settled == counts.shards:
            require_closed(counts)
            settled = RunSettled(
                shards=counts.shards, rows=counts.rows, rejects=counts.rejects, jobs=counts.jobs
            )
            self._run_dir.record_settled(before.commit.number, before.generation, settled)

    def audit(self) -> None:
        """Compare the remote jobs with the ledger; the world judges what is said of them."""
        newest = self._run_dir.newest_commit()
        assert newest is not None
        audit = self._setting.parts.audit(self._run_dir, newest.commit, self._client)
        if audit.duplicate_jobs:
            self._process.kernel.note(f"{self._process.name} reports {audit.duplicate_jobs}")
        self._setting.checks.audited(audit)

    def _drive(self, shards: Sequence[ShardPlan], one_round: bool, generation: int) -> None:
        setting, process = self._setting, self._process
        scratch = setting.folder / process.name
        scratch.mkdir()
        context = self._tools(scratch, generation)
        offset = context.ledger.storage_now() - context.clock.now()
        shared = SharedStateStore(RUN, setting.quotas, context.clock, offset)
        if process.name != "p1":
            # A resumed call first looks for jobs that the ledger does not know.
            began = context.clock.now()
            shared.set_listed_jobs(context.service.list_jobs(), began)
        runner = SimRunner(
            context,
            shared,
            process,
            setting.parts,
            lambda attempt: setting.checks.halted(process, attempt),
            one_round,
        )
        runner.run(shards)
        self.left = runner.left

    def _tools(self, scratch: Path, generation: int) -> Context:
        setting, run_dir = self._setting, self._run_dir
        return SimTools(
            config=setting.config,
            commit=1,
            plan=PLAN,
            rules=self._rules(),
            run_dir=run_dir,
            service=self._client,
            ledger=setting.parts.ledger(run_dir, 1, self._process.name),
            spend=ReservationLog(run_dir, 1, fold_every=_FOLD_EVERY),
            clock=SimClock(self._process),
            scratch=scratch,
            generation=generation,
        )

    def _rules(self) -> Rules:
        batch = {"on_stuck": "resubmit" if self._setting.resubmit else "report"}
        config = self._setting.config.model_copy(
            update={"batch": self._setting.config.batch.model_copy(update=batch)}
        )
        rules = rules_of(config, RUN, self._process.name, True, self._process.accepts)
        return replace(rules, assume_lost=self._setting.assume_lost)
