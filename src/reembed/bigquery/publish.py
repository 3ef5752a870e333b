"""Publish a settled run to its BigQuery table: staging by load jobs, then a copy or one MERGE."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.bigquery import schema
from reembed.bigquery.base import BigQuery, Field, Job, Load, NewTable, Statement, Table
from reembed.bigquery.costs import AS_OF, query_usd
from reembed.bigquery.names import TableName, parse_table
from reembed.bigquery.sql import count_sql, merge_sql, repeated_parts_sql, vector_index_sql
from reembed.config.schema import Config
from reembed.core.records import Merge
from reembed.core.schema import ROW
from reembed.destinations.base import Published, Report, SettledRun, parts_of_run
from reembed.destinations.parts import write_part
from reembed.errors import (
    AlreadyExistsError,
    BigQueryDeniedError,
    JobFailedError,
    RunFailedError,
    StatementRefusedError,
)
from reembed.ledger.layout import Layout
from reembed.storage.base import Stat, Storage
from reembed.storage.names import is_gs
from reembed.storage.scratch import scratch_folder

# https://cloud.google.com/bigquery/docs/error-messages: these may pass by themselves.
_PASSING: Final = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError", "tableUnavailable"}
)
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class OnceJobs:
    """Jobs whose ids begin with `prefix`, in one location.

    A job that failed keeps its id for good, so the next attempt takes the next number.
    """

    bigquery: BigQuery
    location: str
    prefix: str

    def begun(self, name: str) -> Job | None:
        """The attempt that runs or is done well; None: there is none."""
        _, job = self._newest(name)
        return job

    def run(self, name: str, begin: Callable[[str], Job]) -> Job:
        """Return the job that did what `name` names, begun now if it was not yet.

        Args:
            name: of letters, digits and hyphens.
            begin: begins the job of an id, or joins the one that has it, and waits for its end.

        Raises:
            JobFailedError: it failed; the next call begins another attempt.
        """
        attempt, job = self._newest(name)
        if job is not None and job.state == "DONE":
            return job
        for tried in range(1, _TRIES + 1):
            try:
                return begin(self._id(name, attempt))
            except JobFailedError as err:
                if err.reason not in _PASSING or tried == _TRIES:
                    raise
                attempt += 1
        raise AssertionError("the last try returns or raises")

    def _newest(self, name: str) -> tuple[int, Job | None]:
        attempt = 0
        while (job := self.bigquery.job(self._id(name, attempt), self.location)) is not None:
            if not job.failed:
                return attempt, job
            attempt += 1
        return attempt, None

    def _id(self, name: str, attempt: int) -> str:
        return f"{self.prefix}-{name}-{attempt}"


KEYS: Final = pa.schema([pa.field("key", pa.string(), nullable=False)])
# A job takes 10,000 files and 15 TB, a table 1,500 jobs a day, failed ones too:
# https://cloud.google.com/bigquery/quotas#load_jobs. Bounded below, so that none takes hours.
_MOST_FILES: Final = 10_000
_GS_BYTES: Final = 200 * 10**9
_LOCAL_BYTES: Final = 10**9
_MOST_JOBS: Final = 500
_BATCH_ROWS: Final = 256
_KEYS_AT_ONCE: Final = 100_000


def groups_of(parts: Sequence[Stat]) -> list[tuple[Stat, ...]]:
    """Share parts out to load jobs, in their order; the same parts give the same groups."""
    remote = bool(parts) and is_gs(parts[0].uri)
    most = _GS_BYTES if remote else _LOCAL_BYTES
    most = max(most, sum(part.size for part in parts) // _MOST_JOBS)
    groups: list[list[Stat]] = []
    size = 0
    for part in parts:
        if not groups or size + part.size > most or len(groups[-1]) == _MOST_FILES:
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += part.size
    return [tuple(group) for group in groups]


def stage_parts(storage: Storage, parts: Iterable[Stat], place: str) -> list[Stat]:
    """Put local parts under a place in Cloud Storage; those that are up already stay.

    An upload leaves the local file, which is the run's record.
    """
    up = []
    for part in parts:
        uri = f"{place}/{part.uri.rsplit('/', 1)[1]}"
        try:
            up.append(storage.publish(Path(part.uri), uri))
        except AlreadyExistsError:
            up.append(storage.stat(uri))
    return up


def source_of(group: Sequence[Stat], folder: Path) -> Path | tuple[str, ...]:
    """What one load job reads: URIs, or one local file; several are put together in `folder`."""
    if is_gs(group[0].uri):
        return tuple(part.uri for part in group)
    if len(group) == 1:
        return Path(group[0].uri)
    path = folder / "load.parquet"
    path.unlink(missing_ok=True)
    write_part(path, _rows_of(group), {}, "snappy")
    return path


def write_keys(path: Path, keys: Iterable[str]) -> int:
    """Write keys to a local Parquet file, a column `key`; return how many."""
    count = 0
    with pq.ParquetWriter(path, KEYS) as writer:
        for batch in _sliced(keys):
            writer.write_table(pa.table([pa.array(batch, pa.string())], schema=KEYS))
            count += len(batch)
    return count


def _rows_of(group: Sequence[Stat]) -> Iterator[pa.RecordBatch]:
    for part in group:
        with pq.ParquetFile(part.uri, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield batch.cast(ROW)


def _sliced(keys: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _KEYS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


# Staging is removed at the end; what a run that is never taken up again leaves goes by itself.
_STAGING_DAYS: Final = 7
_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hand-over happens.

    `report` is called with what is about to cost money.
    """

    config: Config
    storage: Storage
    layout: Layout
    bigquery: BigQuery
    report: Report

    @property
    def dest(self) -> TableName:
        """The destination's name."""
        return parse_table(schema.destination_of(self.config).table)


@dataclass(frozen=True, slots=True)
class Publication:
    """One settled run on its way into its table; made anew by each call."""

    place: Place
    settled: SettledRun
    jobs: OnceJobs
    location: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, place: Place, settled: SettledRun) -> Publication:
        """Begin or take up the hand-over of a run."""
        location = place.bigquery.location(place.dest)
        prefix = f"reembed-{settled.run}-g{settled.generation}"
        return cls(place, settled, OnceJobs(place.bigquery, location, prefix), location)

    def into_new(self, table: Table) -> Published:
        """Fill a table that this run has made, by a copy of staging."""
        settled, name = self.settled, self.copy_name(table)
        self.details.update({"table": str(table.name), "made": True})
        if settled.rows:
            if self.jobs.begun(name) is None:
                self._stage()
            self.jobs.run(
                name,
                lambda job_id: self.place.bigquery.copy(
                    self._staging, table.name, job_id, self._labels
                ),
            )
        self._finish(table)
        return Published(inserted=settled.rows, details=self.details)

    def into_old(self, table: Table, removed: Iterable[str]) -> Published:
        """Bring a table up to date by one MERGE."""
        self.details.update({"table": str(table.name), "made": False})
        merge = Merge(job="", size=0, removed=0)
        deleted = 0
        with scratch_folder() as folder:
            keys = folder / "removed.parquet"
            lost = write_keys(keys, removed)
            if self.settled.rows or lost:
                merge, job = self._merge(table, keys if lost else None)
                deleted = job.deleted
        self._finish(table)
        replaced = max(0, deleted - merge.removed)
        return Published(self.settled.rows, replaced, deleted - replaced, self.details)

    def copy_name(self, table: Table) -> str:
        """What the copy into a table is called; a table made anew has another."""
        return f"copy-{table.created_ms}"

    def _merge(self, table: Table, lost: Path | None) -> tuple[Merge, Job]:
        name = f"merge-{table.created_ms}"
        removed = self._removed if lost is not None else None
        sql = merge_sql(table.name, self._staging, schema.columns(), removed)
        statement = Statement(sql, labels=self._labels, location=self.location)
        if self.jobs.begun(name) is None:
            self._stage()
            if lost is not None:
                field_of_keys = (Field("key", "STRING", "REQUIRED"),)
                self._load(self._removed, NewTable(field_of_keys), [lambda _: lost])
        merge = self._estimated(name, statement, table.name, removed)
        job = self.jobs.run(name, lambda job_id: self.place.bigquery.query(statement, job_id))
        self.details["merge"] = {
            "job": job.id,
            "estimated_bytes": merge.size,
            "estimated_usd": query_usd(merge.size, 2 if removed is None else 3),
            "processed_bytes": job.size,
            "prices_as_of": AS_OF,
        }
        return merge, job

    def _estimated(
        self, name: str, statement: Statement, dest: TableName, removed: TableName | None
    ) -> Merge:
        """What the MERGE was estimated at before its first attempt; on record for later calls."""
        place, settled = self.place, self.settled
        record = place.layout.run_merge(settled.commit, settled.generation)
        if not any(stat.uri == record for stat in place.storage.list(record)):
            size = place.bigquery.dry_run(statement)
            rows = self._count(count_sql(dest, removed)) if removed is not None else 0
            usd = query_usd(size, 2 if removed is None else 3)
            place.report(
                f"Merging {settled.rows:,} rows into {dest}: reads {size / 1e6:,.1f} MB at most, "
                f"${usd:,.4f} on demand at the price of {AS_OF} ..."
            )
            # Another call may have estimated it at the same moment.
            with contextlib.suppress(AlreadyExistsError):
                place.storage.create(record, Merge(job=name, size=size, removed=rows).encode())
        return Merge.decode(place.storage.read(record), record)

    def _stage(self) -> None:
        """Load the run's parts into its staging table, and look at what is there then."""
        place, settled = self.place, self.settled
        with scratch_folder() as folder:
            parts = parts_of_run(place.storage, place.layout.run_dir, settled.commit)
            local = bool(parts) and not is_gs(parts[0].uri)
            if local and self._staging_place:
                parts = stage_parts(place.storage, parts, self._staging_place)
            groups = groups_of(parts)
            begin = [lambda _, g=group: source_of(g, folder) for group in groups]
            self._load(self._staging, schema.new_table(place.config, self._labels), begin)
        self.details["load_jobs"] = len(groups)
        rows = self._count(count_sql(self._staging))
        if rows != settled.rows:
            raise RunFailedError(
                f"{self._staging} holds {rows:,} rows and the run has {settled.rows:,}; remove "
                "that table and run again. The destination is as it was"
            )
        statement = Statement(repeated_parts_sql(self._staging, _EXAMPLES), location=self.location)
        repeated = self._rows(statement)
        if repeated:
            examples = ", ".join(f"{row['key']!r} part {row['part']}" for row in repeated)
            raise RunFailedError(
                f"{self._staging} holds parts more than once: {examples}; the destination is as it "
                "was. Remove that table and run again"
            )

    def _load(
        self,
        name: TableName,
        new: NewTable,
        sources: Iterable[Callable[[str], Path | tuple[str, ...]]],
    ) -> None:
        """Make a table that goes by itself, and load into it what is not there yet."""
        place = self.place
        now = place.storage.now(place.layout.clock("publish"))
        expires = round((now + _STAGING_DAYS * 86_400) * 1000)
        place.bigquery.create_table(name, replace(new, expires_ms=expires))
        table = place.bigquery.table(name)
        if table is None:
            raise RunFailedError(f"{name} went while it was filled; run again")
        what = "removed" if name == self._removed else "load"
        for number, source in enumerate(sources):

            def load(job_id: str, source: Any = source) -> Job:
                load = Load(name, new.fields, source(job_id), "WRITE_APPEND", labels=self._labels)
                return place.bigquery.load(load, job_id)

            # Of a table that went meanwhile and was made anew, no load is done yet.
            self.jobs.run(f"{what}-{number:05}-{table.created_ms}", load)

    def _finish(self, table: Table) -> None:
        """Say in the table what it holds, see to its index, and remove what was in between."""
        place, settled = self.place, self.settled
        labels = schema.run_labels(place.config, settled.run, schema.WHOLE)
        if schema.destination_of(place.config).allow_other_model and not self.details["made"]:
            labels[schema.SPACE[0]] = schema.MIXED
        description = schema.described(table.description, place.config, settled.run)
        place.bigquery.update_table(table.name, labels=labels, description=description)
        self._index(table)
        for name in (self._staging, self._removed):
            place.bigquery.delete_table(name)
        if self._staging_place:
            for stat in place.storage.list(f"{self._staging_place}/"):
                place.storage.delete(stat.uri)

    def _index(self, table: Table) -> None:
        wanted = schema.destination_of(self.place.config).vector_index
        if wanted == "none":
            return
        name = re.sub(r"\W", "_", f"{table.name.table}_embedding", flags=re.ASCII)
        sql = vector_index_sql(table.name, "embedding", name)
        note = ""
        if wanted == "create":
            try:
                self.place.bigquery.query(Statement(sql, location=self.location))
            except (JobFailedError, StatementRefusedError, BigQueryDeniedError) as err:
                # The rows are in, and searches work without an index.
                note = str(err)
        created = wanted == "create" and not note
        self.details["index"] = {"statement": sql, "created": created, "note": note}

    def _count(self, sql: str) -> int:
        [row] = self._rows(Statement(sql, location=self.location))
        return int(row["row_count"])

    def _rows(self, statement: Statement) -> list[dict[str, Any]]:
        bigquery = self.place.bigquery
        batches = bigquery.results(bigquery.query(statement))
        return [row for batch in batches for row in batch.to_pylist()]

    @property
    def _staging(self) -> TableName:
        return schema.beside(self.place.config, f"{self.settled.run}_g{self.settled.generation}")

    @property
    def _removed(self) -> TableName:
        return self._staging.sibling(f"{self._staging.table}_removed")

    @property
    def _staging_place(self) -> str:
        """Where local parts are put for the load jobs; empty: they go up with the jobs."""
        place = (schema.destination_of(self.place.config).staging or "").rstrip("/")
        if not place or is_gs(self.place.layout.run_dir):
            return ""
        return f"{place}/{self.settled.run}-g{self.settled.generation}"

    @property
    def _labels(self) -> Mapping[str, str]:
        return {schema.RUN: schema.label(self.settled.run)}
