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
from reembed.destinations.base import Published, Report, SettledRun
from reembed.destinations.parts import write_part
from reembed.errors import (
    AlreadyExistsError,
    BigQueryDeniedError,
    JobFailedError,
    RunFailedError,
    StatementRefusedError,
)
from reembed.ledger.run_dir import RunDir
from reembed.storage.base import Stat, Storage
from reembed.storage.names import is_gs
from reembed.storage.scratch import scratch_folder

# Failures that may pass by themselves: https://cloud.google.com/bigquery/docs/error-messages
_TRANSIENT: Final = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError", "tableUnavailable"}
)
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class OnceJobs:
    """Jobs that run once, whoever asks for them and however often.

    BigQuery runs a job id once. An id that follows from the run, the step and the attempt lets a
    call that takes up a killed one find the jobs of that one: a job that is done counts, one that
    runs is waited for. A job that failed keeps its id for good, so the next attempt takes the
    next number.

    `prefix` begins every id; all jobs run in `location`.
    """

    bigquery: BigQuery
    location: str
    prefix: str

    def find(self, step: str) -> Job | None:
        """Look up the attempt of a step that runs or is done well; None: there is none."""
        _, job = self._newest(step)
        return job

    def run(self, step: str, begin: Callable[[str], Job]) -> Job:
        """Return the job that did a step, begun now if it was not yet.

        Args:
            step: letters, digits and hyphens; a part of the job's id.
            begin: begins the job of an id, or joins the one that has it, and waits for its end.

        Raises:
            JobFailedError: it failed; the next call begins another attempt.
        """
        attempt, job = self._newest(step)
        if job is not None and job.state == "DONE":
            return job
        for tried in range(1, _TRIES + 1):
            # Each try takes an id of its own: the failed one is used up.
            try:
                return begin(self._id(step, attempt))
            except JobFailedError as err:
                if err.reason not in _TRANSIENT or tried == _TRIES:
                    raise
                attempt += 1
        raise AssertionError("the last try returns or raises")

    def _newest(self, step: str) -> tuple[int, Job | None]:
        attempt = 0
        while (job := self.bigquery.job(self._id(step, attempt), self.location)) is not None:
            if not job.failed:
                return attempt, job
            attempt += 1
        return attempt, None

    def _id(self, step: str, attempt: int) -> str:
        return f"{self.prefix}-{step}-{attempt}"


KEYS: Final = pa.schema([pa.field("key", pa.string(), nullable=False)])
# A job takes 10,000 files and 15 TB, a table 1,500 jobs a day, failed ones too:
# https://cloud.google.com/bigquery/quotas#load_jobs. Our bounds are lower, so that no single job
# takes hours, and 500 jobs leave two more runs of the same day their share.
_MOST_FILES: Final = 10_000
_GS_BYTES: Final = 200 * 10**9
_LOCAL_BYTES: Final = 10**9
_MOST_JOBS: Final = 500
_BATCH_ROWS: Final = 256
_KEYS_AT_ONCE: Final = 100_000


def groups_of(parts: Sequence[Stat]) -> list[tuple[Stat, ...]]:
    """Distribute parts over load jobs, in their order.

    The same parts give the same groups: a group's number is in its job's id, so a call that takes
    up a killed one must mean the same files by it.
    """
    on_gs = bool(parts) and is_gs(parts[0].uri)
    most = _GS_BYTES if on_gs else _LOCAL_BYTES
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


def stage_parts(storage: Storage, parts: Iterable[Stat], folder: str) -> list[Stat]:
    """Upload local parts into a folder in Cloud Storage; those that are there already stay.

    The local file stays as well: it is the run's record.
    """
    staged = []
    for part in parts:
        uri = f"{folder}/{part.uri.rsplit('/', 1)[1]}"
        try:
            staged.append(storage.publish(Path(part.uri), uri))
        except AlreadyExistsError:
            staged.append(storage.stat(uri))
    return staged


def source_of(group: Sequence[Stat], folder: Path) -> Path | tuple[str, ...]:
    """Make what one load job reads: URIs, or one local file; several are joined in `folder`."""
    if is_gs(group[0].uri):
        return tuple(part.uri for part in group)
    if len(group) == 1:
        return Path(group[0].uri)
    path = folder / "load.parquet"
    # Of the group before: one file at a time is on the disk.
    path.unlink(missing_ok=True)
    write_part(path, _rows_of(group), {}, "snappy")
    return path


def write_keys(path: Path, keys: Iterable[str]) -> int:
    """Write keys to a local Parquet file, a column `key`; return how many."""
    count = 0
    with pq.ParquetWriter(path, KEYS) as writer:
        for batch in _slices(keys):
            writer.write_table(pa.table([pa.array(batch, pa.string())], schema=KEYS))
            count += len(batch)
    return count


def _rows_of(group: Sequence[Stat]) -> Iterator[pa.RecordBatch]:
    for part in group:
        with pq.ParquetFile(part.uri, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield batch.cast(ROW)


def _slices(keys: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _KEYS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


# Staging is removed at the end. Of a run that nobody takes up again it would cost storage for
# ever, so the table expires by itself.
_STAGING_DAYS: Final = 7
_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Destination table of a configuration, and what publishing to it needs.

    `report` is called with what is about to cost money.
    """

    config: Config
    run_dir: RunDir
    bigquery: BigQuery
    report: Report

    @property
    def table(self) -> TableName:
        """Name of the destination table."""
        return parse_table(schema.destination_of(self.config).table)


@dataclass(frozen=True, slots=True)
class Publication:
    """One settled run on its way into its table; made anew by each call.

    It keeps no state of its own: each step asks BigQuery whether it is done. Job ids hold the run,
    its generation, the step and **the creation time of the table that the step writes**, so a
    staging table that expired and was made anew is loaded anew, and a destination that was
    removed and made anew is filled anew, instead of counting the loads of the table before.
    """

    target: Target
    settled: SettledRun
    jobs: OnceJobs
    location: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, target: Target, settled: SettledRun) -> Publication:
        """Begin to publish a run, or take it up again."""
        location = target.bigquery.location(target.table)
        prefix = f"reembed-{settled.run}-g{settled.generation}"
        return cls(target, settled, OnceJobs(target.bigquery, location, prefix), location)

    def fill_new(self, table: Table) -> Published:
        """Fill a table that this run has made, by a copy of staging.

        A copy into an empty table is atomic: whoever finds the table finds all rows or none.
        """
        settled, step = self.settled, self.copy_step(table)
        self.details.update({"table": str(table.name), "made": True})
        if settled.rows:
            if self.jobs.find(step) is None:
                self._stage()
            self.jobs.run(
                step,
                lambda job_id: self.target.bigquery.copy(
                    self._staging, table.name, job_id, self._labels
                ),
            )
        self._finish(table)
        return Published(inserted=settled.rows, details=self.details)

    def merge_into(self, table: Table, removed: Iterable[str]) -> Published:
        """Bring an existing table up to date by one MERGE."""
        self.details.update({"table": str(table.name), "made": False})
        merge = Merge(job="", size=0, removed=0)
        deleted = 0
        with scratch_folder() as folder:
            path = folder / "removed.parquet"
            count = write_keys(path, removed)
            if self.settled.rows or count:
                merge, job = self._merge(table, path if count else None)
                deleted = job.deleted
        self._finish(table)
        # The job counts the rows that it deleted, whatever the reason; those of removed keys were
        # counted before it.
        replaced = max(0, deleted - merge.removed)
        return Published(self.settled.rows, replaced, deleted - replaced, self.details)

    def copy_step(self, table: Table) -> str:
        """Name the step that copies into a table; for a table made anew it is another step."""
        return f"copy-{table.created_ms}"

    def _merge(self, table: Table, removed: Path | None) -> tuple[Merge, Job]:
        step = f"merge-{table.created_ms}"
        keys = self._removed if removed is not None else None
        sql = merge_sql(table.name, self._staging, schema.columns(), keys)
        statement = Statement(sql, labels=self._labels, location=self.location)
        if self.jobs.find(step) is None:
            self._stage()
            if removed is not None:
                key_field = (Field("key", "STRING", "REQUIRED"),)
                self._load(self._removed, NewTable(key_field), [lambda _: removed])
        merge = self._estimated(step, statement, table.name, keys)
        job = self.jobs.run(step, lambda job_id: self.target.bigquery.query(statement, job_id))
        self.details["merge"] = {
            "job": job.id,
            "estimated_bytes": merge.size,
            "estimated_usd": query_usd(merge.size, 2 if keys is None else 3),
            "processed_bytes": job.size,
            "prices_as_of": AS_OF,
        }
        return merge, job

    def _estimated(
        self, step: str, statement: Statement, table: TableName, keys: TableName | None
    ) -> Merge:
        """Estimate the MERGE and count rows of removed keys, before its first attempt only.

        Both are put on record: after the MERGE neither can be found out any more, and a call that
        takes up a killed one needs them for its report.
        """
        target, settled = self.target, self.settled
        record = target.run_dir.layout.run_merge(settled.commit, settled.generation)
        if not any(stat.uri == record for stat in target.run_dir.storage.list(record)):
            size = target.bigquery.dry_run(statement)
            rows = self._count(count_sql(table, keys)) if keys is not None else 0
            usd = query_usd(size, 2 if keys is None else 3)
            target.report(
                f"Merging {settled.rows:,} rows into {table}: reads {size / 1e6:,.1f} MB at most, "
                f"${usd:,.4f} on demand at the price of {AS_OF} ..."
            )
            # Another call may have estimated it at the same moment.
            with contextlib.suppress(AlreadyExistsError):
                merge = Merge(job=step, size=size, removed=rows)
                target.run_dir.storage.create(record, merge.encode())
        return Merge.decode(target.run_dir.storage.read(record), record)

    def _stage(self) -> None:
        """Load the run's parts into its staging table, and check what it holds then.

        Loads append. Should one have run twice after all, or a part be missing, the count or the
        search for repeated parts shows it before the destination is touched.
        """
        target, settled = self.target, self.settled
        with scratch_folder() as folder:
            parts = list(target.run_dir.parts(settled.commit))
            local = bool(parts) and not is_gs(parts[0].uri)
            if local and self._staging_folder:
                parts = stage_parts(target.run_dir.storage, parts, self._staging_folder)
            groups = groups_of(parts)
            sources = [lambda _, g=group: source_of(g, folder) for group in groups]
            self._load(self._staging, schema.new_table(target.config, self._labels), sources)
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
        """Make a table that expires, and load into it what is not there yet."""
        target = self.target
        now = target.run_dir.storage.now(target.run_dir.layout.clock("publish"))
        expires = round((now + _STAGING_DAYS * 86_400) * 1000)
        target.bigquery.create_table(name, replace(new, expires_ms=expires))
        table = target.bigquery.table(name)
        if table is None:
            raise RunFailedError(f"{name} was removed while it was filled; run again")
        what = "removed" if name == self._removed else "load"
        for number, source in enumerate(sources):

            def load(job_id: str, source: Any = source) -> Job:
                load = Load(name, new.fields, source(job_id), "WRITE_APPEND", labels=self._labels)
                return target.bigquery.load(load, job_id)

            self.jobs.run(f"{what}-{number:05}-{table.created_ms}", load)

    def _finish(self, table: Table) -> None:
        """Describe in the table what it holds, make its index, and remove staging."""
        target, settled = self.target, self.settled
        labels = schema.run_labels(target.config, settled.run, schema.WHOLE)
        if schema.destination_of(target.config).allow_other_model and not self.details["made"]:
            labels[schema.SPACE[0]] = schema.MIXED
        description = schema.described(table.description, target.config, settled.run)
        target.bigquery.update_table(table.name, labels=labels, description=description)
        self._index(table)
        for name in (self._staging, self._removed):
            target.bigquery.delete_table(name)
        if self._staging_folder:
            for stat in target.run_dir.storage.list(f"{self._staging_folder}/"):
                target.run_dir.storage.delete(stat.uri)

    def _index(self, table: Table) -> None:
        option = schema.destination_of(self.target.config).vector_index
        if option == "none":
            return
        name = re.sub(r"\W", "_", f"{table.name.table}_embedding", flags=re.ASCII)
        sql = vector_index_sql(table.name, "embedding", name)
        note = ""
        if option == "create":
            try:
                self.target.bigquery.query(Statement(sql, location=self.location))
            except (JobFailedError, StatementRefusedError, BigQueryDeniedError) as err:
                # The rows are in, and searches work without an index (BigQuery wants 5,000 rows
                # for one): a note in the report, not a failed run.
                note = str(err)
        created = option == "create" and not note
        self.details["index"] = {"statement": sql, "created": created, "note": note}

    def _count(self, sql: str) -> int:
        [row] = self._rows(Statement(sql, location=self.location))
        return int(row["row_count"])

    def _rows(self, statement: Statement) -> list[dict[str, Any]]:
        bigquery = self.target.bigquery
        batches = bigquery.results(bigquery.query(statement))
        return [row for batch in batches for row in batch.to_pylist()]

    @property
    def _staging(self) -> TableName:
        suffix = f"{self.settled.run}_g{self.settled.generation}"
        return schema.table_beside(self.target.config, suffix)

    @property
    def _removed(self) -> TableName:
        return self._staging.sibling(f"{self._staging.table}_removed")

    @property
    def _staging_folder(self) -> str:
        """Folder in Cloud Storage for local parts; empty: they are uploaded with the jobs."""
        folder = (schema.destination_of(self.target.config).staging or "").rstrip("/")
        if not folder or is_gs(self.target.run_dir.path):
            return ""
        return f"{folder}/{self.settled.run}-g{self.settled.generation}"

    @property
    def _labels(self) -> Mapping[str, str]:
        return {schema.RUN: schema.label(self.settled.run)}
