"""Names under a run directory, and what record names say by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reembed.core.names import part_name, partition_id, split_shard_id
from reembed.storage.base import Stat

_EPOCH_RECORD = re.compile(r"([0-9]+(?:\.[0-9]+)*)\.e([0-9]+)\.(claim|void|unsent|r[0-9]+)")
_ATTEMPT_RECORD = re.compile(r"([0-9]+(?:\.[0-9]+)*)\.(created|outcome|stuck|suspect)")
_GENERATION_RECORD = re.compile(r"(settled|redrive)\.g([0-9]+)")

_READ = frozenset({"claim", "created", "outcome", "suspect", "settled", "redrive"})


@dataclass(frozen=True, slots=True)
class RecordName:
    """Parts of a record's file name; `epoch` is 0 where the kind has none.

    The records of a generation have it as their `epoch`.
    """

    attempt: str
    epoch: int
    kind: str

    @property
    def is_renewal(self) -> bool:
        """Tell whether this is ``r<k>``, by which a holder shows that it is alive."""
        return self.kind[1:].isdigit()

    @property
    def is_read(self) -> bool:
        """Tell whether the record has more content than its name."""
        return self.kind in _READ


def parse_record(name: str) -> RecordName | None:
    """Take a record's file name apart; None when it is none of ours."""
    if match := _EPOCH_RECORD.fullmatch(name):
        return RecordName(match.group(1), int(match.group(2)), match.group(3))
    if match := _ATTEMPT_RECORD.fullmatch(name):
        return RecordName(match.group(1), 0, match.group(2))
    if match := _GENERATION_RECORD.fullmatch(name):
        return RecordName("", int(match.group(2)), match.group(1))
    return None


@dataclass(frozen=True, slots=True)
class Layout:
    """Names under one run directory (a folder or ``gs://bucket/prefix``, no slash at its end)."""

    run_dir: str

    def plan_dir(self, plan: str) -> str:
        """Everything of one plan."""
        return f"{self.run_dir}/plans/{plan}"

    def plan_summary(self, plan: str) -> str:
        """Totals of a plan; written last, so that the plan is complete once they are there."""
        return f"{self.plan_dir(plan)}/plan.json"

    def listing(self, plan: str, partition: int) -> str:
        """Items of a partition as listed."""
        return f"{self.plan_dir(plan)}/listing/{partition_id(partition)}.parquet"

    def snapshot(self, plan: str) -> str:
        """Moment at which a table is read for a plan, and its partitions' borders."""
        return f"{self.plan_dir(plan)}/source/snapshot.json"

    def manifest(self, plan: str, shard: str) -> str:
        """Chunks of a shard."""
        return f"{self.plan_dir(plan)}/shards/{shard}.parquet"

    def partition(self, plan: str, partition: int) -> str:
        """Shards of a partition, without their chunks."""
        return f"{self.plan_dir(plan)}/partitions/{partition_id(partition)}.json"

    def partitions(self, plan: str) -> str:
        """Folder of all partitions of a plan."""
        return f"{self.plan_dir(plan)}/partitions/"

    def existing_rows(self, plan: str) -> str:
        """Index of the rows that the destination had when the plan was made."""
        return f"{self.plan_dir(plan)}/existing/rows.arrow"

    def existing_keys(self, plan: str, bucket: int) -> str:
        """Keys of one bucket that the destination had when the plan was made."""
        return f"{self.plan_dir(plan)}/existing/keys-{bucket:03}.arrow"

    def key_findings(self, plan: str, bucket: int | None = None) -> str:
        """Findings about the keys of a bucket; without one, the prefix."""
        name = "" if bucket is None else f"{bucket:03}.json"
        return f"{self.plan_dir(plan)}/keys/{name}"

    def removed_keys(self, plan: str, bucket: int | None = None) -> str:
        """Keys of the destination that the source no longer has; without a bucket, the prefix."""
        name = "" if bucket is None else f"{bucket:03}.parquet"
        return f"{self.plan_dir(plan)}/removed/{name}"

    def copies(self, plan: str, shard: str) -> str:
        """Rows of a shard whose vectors the destination holds under other keys."""
        return f"{self.plan_dir(plan)}/copies/{shard}.parquet"

    def plan_progress(self, plan: str, holder: str = "") -> str:
        """Advisory, overwritable: how far a planning worker is; without a holder, the prefix."""
        return f"{self.plan_dir(plan)}/progress/{holder}"

    def extracted(self, digest: str, version: str = "") -> str:
        """Name the readable text that character offsets point into.

        Args:
            digest: SHA-256 of the source.
            version: of its format. Two versions read one file differently, so each keeps its own
                text; of `text/1`, the first of HTML, the name has the digest alone.
        """
        own = "" if version in ("", "text/1") else "." + version.replace("/", "-")
        return f"{self.run_dir}/extracted/{digest}{own}.txt"

    def inline_media(self) -> str:
        """Folder of media that the source held inline (`data:` URIs), each named by its SHA-256."""
        return f"{self.run_dir}/inline_media"

    def commit(self, number: int) -> str:
        """Record that selects a plan."""
        return f"{self.run_dir}/ledger/commit.{number:04}"

    def commits(self) -> str:
        """Prefix of all commits."""
        return f"{self.run_dir}/ledger/commit."

    def run(self, commit: int) -> str:
        """Folder of all records of one commit's run."""
        return f"{self.run_dir}/ledger/runs/{commit:04}"

    def run_settled(self, commit: int, generation: int) -> str:
        """Record that a whole run is settled and its counts closed."""
        return f"{self.run(commit)}/settled.g{generation}"

    def run_published(self, commit: int, generation: int) -> str:
        """Record that a settled run is published."""
        return f"{self.run(commit)}/published.g{generation}"

    def run_merge(self, commit: int, generation: int) -> str:
        """Record of what a MERGE was estimated to read and to delete."""
        return f"{self.run(commit)}/merge.g{generation}"

    def notified(self, commit: int, generation: int, mark: str, channel: str) -> str:
        """Record that a channel has sent a mark of a notice."""
        return f"{self.all_notified(commit)}g{generation}.{mark}.{channel}"

    def all_notified(self, commit: int) -> str:
        """Prefix of the records of notices; commit 0 stands for the time before the first."""
        return f"{self.run(commit)}/notified/"

    def destination_seen(self) -> str:
        """Advisory, overwritable: the destination as the last plan saw it."""
        return f"{self.run_dir}/ledger/destination.json"

    def cutover(self, number: int) -> str:
        """Record that a view is set to another query."""
        return f"{self.cutovers()}{number:04}"

    def cutovers(self) -> str:
        """Prefix of all records of views."""
        return f"{self.run_dir}/ledger/cutovers/"

    def all_records(self, commit: int) -> str:
        """Prefix of the records of all partitions."""
        return f"{self.run(commit)}/partitions/"

    def partition_records(self, commit: int, partition: str) -> str:
        """Prefix of all records of a partition."""
        return f"{self.all_records(commit)}{partition}/"

    def shard_records(self, commit: int, shard: str) -> str:
        """Prefix of all records of a shard."""
        partition, seq = split_shard_id(shard)
        return f"{self.partition_records(commit, partition)}{seq}/"

    def redrives(self, commit: int, generation: int) -> str:
        """Record that rejects of a whole run are sent again."""
        return f"{self.run(commit)}/redrive.g{generation}"

    def rollup(self, commit: int, partition: str, generation: int) -> str:
        """One record of a settled partition."""
        return f"{self.run(commit)}/rollups/{partition}.g{generation}"

    def rollup_opening(self, commit: int, partition: str, generation: int) -> str:
        """Record that roll-ups of a partition from before a generation are stale."""
        return f"{self.rollup(commit, partition, generation)}.open"

    def rollups(self, commit: int, partition: str = "") -> str:
        """Prefix of all roll-ups and openings, or of those of one partition."""
        return f"{self.run(commit)}/rollups/{partition}"

    def spend(self, commit: int, seq: int) -> str:
        """One line of the reservation log."""
        return f"{self.run(commit)}/spend/{seq:09}"

    def fold(self, commit: int, seq: int) -> str:
        """Reservation log's lines 1 to `seq`, folded."""
        return f"{self.folds(commit)}{seq:09}"

    def folds(self, commit: int) -> str:
        """Prefix of all folds of the reservation log."""
        return f"{self.run(commit)}/folds/"

    def stops(self, commit: int) -> str:
        """Prefix of stop and lift records."""
        return f"{self.run(commit)}/stop/"

    def progress(self, commit: int, lane: int) -> str:
        """Advisory, overwritable: what a lane is doing."""
        return f"{self.run(commit)}/progress/{lane:05}"

    def progresses(self, commit: int) -> str:
        """Prefix of all lanes' progress."""
        return f"{self.run(commit)}/progress/"

    def clock(self, holder: str) -> str:
        """Scratch object by which a holder reads the storage's clock."""
        return f"{self.run_dir}/ledger/clock/{holder}"

    def part(self, commit: int, shard: str) -> str:
        """Rows of a shard."""
        return f"{self.run_dir}/vectors/{part_name(commit, shard)}"

    def rejects(self, commit: int, shard: str) -> str:
        """Rejects of a shard."""
        return f"{self.run_dir}/rejects/{part_name(commit, shard)}"

    def work(self, commit: int, shard: str, name: str) -> str:
        """File that one attempt wrote for a later merge."""
        return f"{self.run_dir}/work/{commit:04}/{shard}/{name}"

    def quarantine(self, commit: int, shard: str, attempt: str) -> str:
        """Raw answer that did not verify."""
        return f"{self.run_dir}/quarantine/{commit:04}-{shard}-{attempt}.jsonl"

    def parts(self, folder: str, commit: int | None = None) -> str:
        """Prefix of all files of rows (`vectors`) or of rejects, of one commit or of all."""
        number = "" if commit is None else f"{commit:04}-"
        return f"{self.run_dir}/{folder}/part-{number}"

    def report(self) -> str:
        """Run's report."""
        return f"{self.run_dir}/report.json"

    def doctor(self) -> str:
        """Findings of the last live check."""
        return f"{self.run_dir}/doctor.json"


NamedRecord = tuple[Stat, RecordName]
# The records of an attempt that still count once its shard is settled.
_OF_SETTLED = ("created", "outcome")
_OF_OPEN = ("created", "outcome", "redrive", "settled")


def folder_of(name: str) -> str:
    """Prefix under which a record lies: one for each shard."""
    return name.rsplit("/", 1)[0] + "/"


def parse_records(stats: Iterable[Stat]) -> Iterator[NamedRecord]:
    """Take the names of a listing apart; what is no record is passed over."""
    for stat in stats:
        name = parse_record(stat.uri.rsplit("/", 1)[1])
        if name is not None:
            yield stat, name


def open_claims(named: Iterable[NamedRecord]) -> set[tuple[str, int]]:
    """Claims that may still lead to a job: of attempts that have none, and not void."""
    names = [name for _, name in named]
    ended = {name.attempt for name in names if name.kind in ("created", "outcome")}
    voids = {(name.attempt, name.epoch) for name in names if name.kind == "void"}
    claimed = {
        (name.attempt, name.epoch) for name in names if name.kind == "claim" or name.is_renewal
    }
    return {spot for spot in claimed - voids if spot[0] not in ended}


def settled_in(named: Iterable[NamedRecord]) -> int | None:
    """Find the generation in which a shard is settled, by names alone; None while it is open."""
    newest = {"settled": -1, "redrive": 0}
    for _, name in named:
        if name.kind in newest:
            newest[name.kind] = max(newest[name.kind], name.epoch)
    return newest["settled"] if newest["settled"] >= newest["redrive"] else None


def relevant_records(named: list[NamedRecord], brief: bool = False) -> list[NamedRecord]:
    """Select the records of a shard that are still needed: settled shards need few.

    `brief`: those that tell its counts, or which attempts it has and which of them have jobs.
    """
    generation = settled_in(named)
    if generation is None:
        return [(stat, name) for stat, name in named if not brief or name.kind in _OF_OPEN]
    return [
        (stat, name)
        for stat, name in named
        if (name.kind == "settled" and name.epoch == generation)
        or (not brief and name.kind in _OF_SETTLED)
    ]
