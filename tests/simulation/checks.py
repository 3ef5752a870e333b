"""The invariants that are watched while a seed runs, by the world itself, from what it saw."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache

from reembed.config.models import MODELS
from reembed.core.price import price
from reembed.ledger.layout import Layout, parse_record
from reembed.machine.quotas import Quotas
from reembed.runs.audit import Audit
from simulation.corpus import RUN_DIR, Corpus
from simulation.disk import Disk, kind_of
from simulation.files import keys_of
from simulation.kernel import Process
from simulation.remote import Remote, RemoteJob
from simulation.spent import Spent

# The code sends on a look of 10 s at most, and each operation since may be slow by 40 s. A claim
# is taken over 180 s after its lease at the earliest, so that this much does no harm.
_OLDEST_LOOK = 150.0
_MODEL = "gemini-embedding-2"
_PAID_AGAIN = frozenset({"QUARANTINED", "RESULT_LOST"})
_LAYOUT = Layout(RUN_DIR)


class Checks:
    """Watches the store and the service; collects violations.

    Args:
        disk: watched for ledger records.
        remote: watched for jobs and bills.
        corpus: what was planned.
        quotas: at most this much.
    """

    def __init__(self, disk: Disk, remote: Remote, corpus: Corpus, quotas: Quotas) -> None:
        self.disk, self.remote, self.corpus, self.quotas = disk, remote, corpus, quotas
        self.violations: list[str] = []
        self.outside: Counter[str] = Counter()
        # Attempts of which something outside the stated bounds befell.
        self.excused: set[str] = set()
        self.excuse_all = False
        # Jobs whose answer was shown damaged or gone; attempts that are in question, since when
        # and by whose fetch; attempts that the user agreed to pay for again.
        self.shown: set[str] = set()
        self.suspects: dict[str, tuple[float, Process]] = {}
        self.accepted: set[str] = set()
        # Jobs that an audit reported as serving no attempt.
        self.reported: set[str] = set()
        # Attempts for which one that froze before the settlement reserved after it: the next
        # call, if there is any, gives that back.
        self.late: set[str] = set()
        self.spent = Spent()
        self.charged: Counter[str] = Counter()
        self.answered: dict[tuple[str, int], list[str]] = {}
        self.stopped_at: float | None = None
        self.stopped_ever = False
        self._planned = {plan.shard: plan.requests for plan in corpus.shards}
        disk.watch = self._wrote
        remote.on_made, remote.on_ended = self._made, self._ended

    def fail(self, text: str) -> None:
        """Note a violation."""
        self.remote.kernel.note(f"VIOLATION {text}")
        self.violations.append(text)

    def excuse(self, display_name: str) -> None:
        """Something outside the stated bounds befalls an attempt."""
        self.excused.add("/".join(display_name.split("/")[1:3]))

    def is_excused(self, attempt: str) -> bool:
        """Whether an attempt may be paid twice, if only that is reported."""
        return self.excuse_all or attempt in self.excused

    def kept(self, attempt: str) -> str:
        """The job that the ledger keeps for an attempt; empty for none."""
        held = self.disk.objects.get(record_of(attempt, "created"))
        return str(json.loads(held.data)["job"]) if held is not None else ""

    def is_settled(self, shard: str) -> bool:
        """Whether a settlement of the shard, of any generation, stands."""
        return bool(self.disk.under(f"{_LAYOUT.shard_records(1, shard)}settled.g"))

    # What is written.

    def _wrote(self, uri: str, data: bytes, before: bytes | None, by: Process | None) -> None:
        kind = kind_of(uri)
        if kind == "spend":
            self._spent(json.loads(data))
        elif kind == "stop":
            stop = uri.rsplit("/", 1)[1].startswith("stop.")
            self.stopped_at = self.remote.kernel.now if stop else None
            self.stopped_ever = self.stopped_ever or stop
        elif kind == "outcome" and by is not None:
            self._outcome(attempt_of(uri), json.loads(data)["state"], by)
        elif kind == "suspect" and by is not None:
            self.suspects.setdefault(attempt_of(uri), (self.remote.kernel.now, by))
            if self.kept(attempt_of(uri)) not in self.shown:
                self.fail(f"{attempt_of(uri)} is suspect, and its answer was shown whole")
        elif kind == "vectors" and before is not None:
            self._replaced(uri, before, data)

    def _outcome(self, attempt: str, state: str, by: Process) -> None:
        if state not in _PAID_AGAIN:
            return
        if not by.accepts:
            self.fail(f"{by.name} sends {attempt} again ({state}), and the user was not asked")
        if self.kept(attempt) not in self.shown:
            self.fail(f"{attempt} is {state}, and its answer was shown whole")
        self.accepted.add(attempt)

    def _replaced(self, uri: str, before: bytes, data: bytes) -> None:
        """Once a shard is settled, its part may only grow."""
        shard = uri.rsplit("/", 1)[1].removesuffix(".parquet").split("-", 2)[2]
        lost = set(keys_of(before)) - set(keys_of(data))
        named = self.disk.under(f"{_LAYOUT.shard_records(1, shard)}settled.g")
        if lost and any(json.loads(self.disk.get(u).data)["part"] == uri for u in named):
            self.fail(f"{shard}: a settled part is replaced by one without {sorted(lost)}")

    def _spent(self, line: dict) -> None:
        self.spent.add(line)
        for fault in self.spent.faults(line, self.quotas, self.disk.now()):
            self.fail(fault)
        attempt = line["attempt"]
        if line["kind"] == "reserve" and self.is_settled(attempt.split("/")[0]):
            self.late.add(attempt)
        jobs = [job for job in self.remote.jobs.values() if job.attempt == attempt]
        if line["kind"] == "void" and jobs and not self.is_excused(attempt):
            self.fail(f"the money of {attempt} was given back, but {jobs[0].name} exists")
        self._covered(attempt)

    def _covered(self, attempt: str) -> None:
        billed, reserved = self.charged[attempt], self.spent.usd.get(attempt, 0)
        if billed > reserved and not self.is_excused(attempt):
            self.fail(f"{attempt}: billed {billed}, reserved {reserved}")

    # What reaches the service.

    def sending(self, process: Process, display_name: str, inline: bool) -> None:
        """A create is about to reach the service."""
        _, shard, path, _ = display_name.split("/")
        attempt, now = f"{shard}/{path}", self.remote.kernel.now
        self._on_suspicion(process, attempt)
        looked = _last_look(process, shard)
        froze = process.woke >= looked
        if inline and froze:
            # No fence for inline jobs: stated, and outside the bounds.
            self.outside["frozen before an inline send"] += 1
            self.excuse(display_name)
            return
        if froze:
            return  # the fence answers for it: the service may refuse the file
        claims = self.disk.under(f"{_LAYOUT.shard_records(1, shard)}{path}.e")
        if not any(uri.endswith(".claim") for uri in claims):
            self.fail(f"{attempt} is created without a claim")
        if attempt not in self.spent.live and not self.is_excused(attempt):
            self.fail(f"{attempt} is created without a reservation")
        if now - looked > _OLDEST_LOOK:
            self.fail(f"{attempt} is created on a look {now - looked:.0f} s old")
        if self.stopped_at is not None and process.looked > self.stopped_at:
            self.fail(f"{attempt} is created although the stop had been seen")

    def _on_suspicion(self, process: Process, attempt: str) -> None:
        """Nothing is created by who knows of an answer in question, unless the user accepts."""
        for suspect, (since, by) in self.suspects.items():
            open_still = record_of(suspect, "outcome") not in self.disk.objects
            if open_still and not process.accepts and (by is process or since < process.began):
                self.fail(f"{attempt} is created although {suspect} is in question")

    def halted(self, process: Process, attempt: str) -> None:
        """A process says that it cannot use an answer."""
        self.suspects.setdefault(attempt, (self.remote.kernel.now, process))

    def polling(self, process: Process, job: RemoteJob) -> None:
        """A job is asked for by its name."""
        if record_of(job.attempt, "created") not in self.disk.objects:
            self.fail(f"{job.name} is polled before {job.attempt}.created is written")

    def shown_badly(self, job: RemoteJob) -> None:
        """An answer was shown damaged, or was gone when it was asked for."""
        self.shown.add(job.name)

    def _made(self, job: RemoteJob) -> None:
        twins = [j for j in self.remote.jobs.values() if j.attempt == job.attempt and j is not job]
        if twins:
            self.outside["twins made"] += 1
            self.remote.kernel.note(f"service: {job.name} is a twin of {twins[0].name}")
            if not self.is_excused(job.attempt):
                self.fail(f"{job.name} is a second job of {job.attempt}, beside {twins[0].name}")

    def _ended(self, job: RemoteJob, billed: Counter[str]) -> None:
        self.charged[job.attempt] += nano_of(tuple(sorted(billed.items())))
        self._covered(job.attempt)
        cap = self.quotas.max_usd_nano
        if cap is not None and self.charged.total() > cap and not self.outside["twins made"]:
            self.fail(f"{self.charged.total()} billed, above the cap of {cap}")
        for shard, ordinal in self.remote.answered(job):
            if ordinal >= self._planned[shard]:
                continue  # a canary
            jobs = self.answered.setdefault((shard, ordinal), [])
            jobs.append(job.name)
            if len(jobs) > 1:
                self._answered_again(shard, ordinal, jobs)

    def _answered_again(self, shard: str, ordinal: int, jobs: list[str]) -> None:
        """Once for each answer that the user gave up, and once for good."""
        attempts = [self.remote.jobs[name].attempt for name in jobs]
        if len(set(attempts)) == len(attempts) and set(attempts[:-1]) <= self.accepted:
            self.outside["paid again as accepted"] += 1
        elif any(map(self.is_excused, attempts)):
            self.outside["answered twice"] += 1
        else:
            self.fail(f"{shard} request {ordinal} was answered and billed in {jobs}")

    # What is reported.

    def audited(self, audit: Audit) -> None:
        """An audit's report: it must be right, and in a clean seed there is nothing to say."""
        for twin in audit.duplicate_jobs:
            attempt = f"{twin.shard}/{twin.attempt}"
            self.reported.add(twin.job)
            if self.kept(attempt) == twin.job and twin.kept:
                self.fail(f"an audit calls {twin.job} a twin, and it serves {attempt}")
            if twin.kept and not self.is_excused(attempt):
                self.fail(f"an audit finds {twin.job} beside {twin.kept} in a clean {attempt}")


def _last_look(process: Process, shard: str) -> float:
    """When a process last listed the records of a shard, alone or with its partition's."""
    never = float("-inf")
    prefixes = _LAYOUT.shard_records(1, shard), _LAYOUT.partition_records(1, shard.split("-")[0])
    return max(process.looks.get(prefix, never) for prefix in prefixes)


def record_of(attempt: str, kind: str) -> str:
    """Where a record of an attempt (``<shard>/<path>``) stands."""
    shard, path = attempt.split("/")
    return f"{_LAYOUT.shard_records(1, shard)}{path}.{kind}"


def attempt_of(uri: str) -> str:
    """The attempt (``<shard>/<path>``) that a record is of."""
    *_, partition, seq, name = uri.split("/")
    record = parse_record(name)
    assert record is not None
    return f"{partition}-{seq}/{record.attempt}"


@lru_cache(10_000)
def nano_of(tokens: tuple[tuple[str, int], ...]) -> int:
    """What tokens by modality cost, in billionths of a dollar."""
    return price(dict(tokens), MODELS[_MODEL]).batch_usd_nano
