"""Run directory: one object that reads and writes what lies under a run directory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.plans import PartitionPlan, PlanSummary, ShardPlan
from reembed.core.records import Commit, Record, RunPublished, RunRedrive, RunSettled
from reembed.errors import (
    AlreadyExistsError,
    ObjectNotFoundError,
    OtherVersionError,
    RunFailedError,
    StorageError,
)
from reembed.ledger.layout import Layout
from reembed.storage.base import Stat, Storage
from reembed.storage.open import open_storage
from reembed.storage.parallel import MAX_CONCURRENT, in_parallel

# Partitions of a plan that are read together: enough for every thread, little in memory.
_PARTITIONS = 8 * MAX_CONCURRENT


@dataclass(frozen=True, slots=True)
class CommitState:
    """Newest commit of a run directory; `settled` says whether its `generation` is."""

    commit: Commit
    settled: bool
    generation: int = 0


@dataclass(frozen=True, slots=True)
class RunDir:
    """Run directory: a storage, and the names of everything under one path in it.

    Plans, commits, reports and notes are read and written here; the records of one commit's shards
    by `Ledger`, its reservations by `ReservationLog`, which take a `RunDir` too. It holds no state,
    so it is cheap to make. Pickled for a worker, it travels as its path alone and opens a storage
    there: clients of Cloud Storage cannot travel.
    """

    storage: Storage
    layout: Layout

    def __reduce__(self) -> tuple[Callable[[str], RunDir], tuple[str]]:
        """Travel as the path."""
        return open_run_dir, (self.path,)

    @property
    def path(self) -> str:
        """Folder or ``gs://bucket/prefix``, without a slash at its end."""
        return self.layout.run_dir

    def check_version(self) -> None:
        """Refuse a run directory that another version of this program wrote.

        Its newest commit tells; where nothing was committed, its first plan. Every verb that
        writes calls this, or reads the newest commit, before it writes anything.

        Raises:
            OtherVersionError: with the version and what to do.
        """
        if next(self.commits(), None) is not None:
            return
        for stat in self.storage.list(f"{self.path}/plans/"):
            if stat.uri.endswith("/plan.json"):
                with self._refusing_by_path():
                    PlanSummary.decode(self.storage.read(stat.uri), stat.uri)
                return

    @contextlib.contextmanager
    def _refusing_by_path(self) -> Iterator[None]:
        """Name the run directory where a record of another version is read."""
        try:
            yield
        except OtherVersionError as err:
            where = f"run directory {self.path}"
            raise OtherVersionError(where, err.writer, err.schema) from err

    # Plans

    def read_plan(self, plan: str) -> PlanSummary:
        """Read the summary of a plan.

        Raises:
            ObjectNotFoundError: the plan is not there, or is not complete.
        """
        name = self.layout.plan_summary(plan)
        return PlanSummary.decode(self.storage.read(name), name)

    def write_plan(self, summary: PlanSummary) -> None:
        """Write the summary of a plan: from then on the plan is complete."""
        self.storage.put(self.layout.plan_summary(summary.plan), summary.encode())

    def partitions(self, plan: str, only: Iterable[str] | None = None) -> Iterator[PartitionPlan]:
        """Read the partitions of a plan, all or `only` these, in input order, many at a time."""
        if only is None:
            names = iter([stat.uri for stat in self.storage.list(self.layout.partitions(plan))])
        else:
            names = iter([self.layout.partition(plan, int(each)) for each in sorted(only)])
        while batch := list(islice(names, _PARTITIONS)):
            for name, data in zip(batch, in_parallel(self.storage.read, batch), strict=True):
                yield PartitionPlan.decode(data, name)

    def shards(self, plan: str, partitions: Iterable[str] | None = None) -> Iterator[ShardPlan]:
        """Read the shards of a plan, or of these partitions of it, in input order."""
        for partition in self.partitions(plan, partitions):
            yield from partition.shards

    def manifest(self, plan: str, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the chunks of a shard, schema `core.schema.MANIFEST`, in input order."""
        with self.storage.open(self.layout.manifest(plan, shard)) as stream:
            return pq.read_table(stream, columns=columns and list(columns))

    # Commits

    def commits(self) -> Iterator[Commit]:
        """Read all commits, newest first."""
        for number in sorted(self._commit_numbers(), reverse=True):
            yield self._read_commit(number)

    def newest_commit(self) -> CommitState | None:
        """Read the newest commit; None where nothing was committed yet."""
        commit = next(self.commits(), None)
        if commit is None:
            return None
        generation = 0
        while self._exists(self.layout.redrives(commit.number, generation + 1)):
            generation += 1
        settled = self._exists(self.layout.run_settled(commit.number, generation))
        return CommitState(commit, settled, generation)

    def _commit_numbers(self) -> set[int]:
        """Numbers of the commits by their names; a file such as an editor's copy is left out."""
        prefix = self.layout.commits()
        digits = (stat.uri.removeprefix(prefix) for stat in self.storage.list(prefix))
        return {int(each) for each in digits if re.fullmatch(r"[0-9]{4,9}", each)} - {0}

    def _read_commit(self, number: int) -> Commit:
        name = self.layout.commit(number)
        with self._refusing_by_path():
            commit = Commit.decode(self.storage.read(name), name)
        if commit.number != number:
            raise RunFailedError(f"{name} says that it is commit {commit.number}; restore it")
        return commit

    def _exists(self, name: str) -> bool:
        return any(stat.uri == name for stat in self.storage.list(name))

    # End of a run

    def run_settled(self, commit: int, generation: int) -> RunSettled:
        """Read the record that a run is settled."""
        name = self.layout.run_settled(commit, generation)
        return RunSettled.decode(self.storage.read(name), name)

    def record_settled(self, commit: int, generation: int, settled: RunSettled) -> None:
        """Record that every shard of a run is settled, that its counts close, and the counts."""
        self._create(self.layout.run_settled(commit, generation), settled)

    def is_published(self, state: CommitState) -> bool:
        """Tell whether a settled run was published to its destination."""
        return self._exists(self.layout.run_published(state.commit.number, state.generation))

    def record_published(self, commit: int, generation: int) -> None:
        """Record that a settled run was published to its destination."""
        self._create(self.layout.run_published(commit, generation), RunPublished())

    def record_redrive(self, commit: int, generation: int) -> None:
        """Record that rejects of a run are sent again: the run is open, as `generation`."""
        self._create(self.layout.redrives(commit, generation), RunRedrive())

    def _create(self, name: str, record: Record) -> None:
        """Create a record; one of another call of the same run says the same, and stands."""
        try:
            self.storage.create(name, record.encode())
        except AlreadyExistsError:
            return

    # Files

    def parts(self, commit: int | None = None) -> Iterator[Stat]:
        """List the files of rows, of one commit or of all."""
        return self.storage.list(self.layout.parts("vectors", commit))

    def reject_parts(self, commit: int | None = None) -> Iterator[Stat]:
        """List the files of rejects, of one commit or of all."""
        return self.storage.list(self.layout.parts("rejects", commit))

    # Report, notes, findings: advisory

    def read_report(self) -> dict[str, Any]:
        """Read the report of the last call.

        Raises:
            RunFailedError: it is not there, or is damaged.
        """
        try:
            report: dict[str, Any] = orjson.loads(self.storage.read(self.layout.report()))
        except (ObjectNotFoundError, orjson.JSONDecodeError) as err:
            raise RunFailedError(
                f"{self.layout.report()} is missing or damaged; the rows are not concerned, and "
                "`reembed status` tells how the run stands"
            ) from err
        return report

    def last_report(self) -> dict[str, Any]:
        """Read the report of the last call; empty where it cannot be read."""
        try:
            return self.read_report()
        except (StorageError, RunFailedError):
            return {}

    def write_report(self, report: dict[str, Any]) -> None:
        """Write ``report.json``."""
        data = orjson.dumps(report, option=orjson.OPT_INDENT_2)
        self.storage.put(self.layout.report(), data + b"\n")

    def lane_notes(self, commit: int) -> list[dict[str, Any]]:
        """Read the progress notes of all lanes of a run."""
        return self.notes(self.layout.progresses(commit))

    def delete_lane_notes(self, commit: int) -> None:
        """Delete the progress notes that lanes of an earlier call left."""
        for note in self.storage.list(self.layout.progresses(commit)):
            self.storage.delete(note.uri)

    def plan_notes(self) -> list[dict[str, Any]]:
        """Read the progress notes of all workers that plan at this moment."""
        stats = self.storage.list(f"{self.path}/plans/")
        notes = self._notes(stat.uri for stat in stats if "/progress/" in stat.uri)
        return [note for note in notes if not note.get("ended")]

    def notes(self, prefix: str) -> list[dict[str, Any]]:
        """Read all notes under a prefix; those that cannot be read are left out."""
        return self._notes(stat.uri for stat in self.storage.list(prefix))

    def _notes(self, uris: Iterable[str]) -> list[dict[str, Any]]:
        """Read notes; those that cannot be read are left out, since they decide nothing."""

        def read(uri: str) -> dict[str, Any] | None:
            try:
                note: object = orjson.loads(self.storage.read(uri))
            except (StorageError, orjson.JSONDecodeError):
                return None
            return note if isinstance(note, dict) else None

        return [note for note in in_parallel(read, uris) if note is not None]

    def live_findings(self) -> dict[str, Any]:
        """Read what the last `reembed doctor --live` found; empty where there is nothing."""
        try:
            found = orjson.loads(self.storage.read(self.layout.doctor()))
        except (ObjectNotFoundError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_live_findings(self, found: dict[str, Any]) -> None:
        """Write what `reembed doctor --live` found."""
        self.storage.put(self.layout.doctor(), orjson.dumps(found, option=orjson.OPT_INDENT_2))


def open_run_dir(path: str, storage: Storage | None = None) -> RunDir:
    """Open the run directory at a path, by default in the storage of its scheme."""
    return RunDir(storage or open_storage(), Layout(path))
