"""Interface to BigQuery: tables, views, jobs and reads behind one small protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from reembed.bigquery.names import TableName

Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]
Write = Literal["WRITE_EMPTY", "WRITE_APPEND", "WRITE_TRUNCATE"]
Scalar = str | int | float | bool | bytes | None


@dataclass(frozen=True, slots=True)
class Field:
    """One column. `type` is its GoogleSQL name, for instance ``INT64``, ``FLOAT64``, ``STRUCT``.

    `fields` are those of a ``STRUCT``. An ``ARRAY<FLOAT64>`` is ``FLOAT64`` with mode REPEATED.
    """

    name: str
    type: str
    mode: Mode = "NULLABLE"
    fields: tuple[Field, ...] = ()
    description: str = ""

    @property
    def sql_type(self) -> str:
        """Complete type in GoogleSQL, for instance ``ARRAY<FLOAT64>``."""
        inner = self.type
        if self.fields:
            inner = f"STRUCT<{', '.join(f'`{f.name}` {f.sql_type}' for f in self.fields)}>"
        return f"ARRAY<{inner}>" if self.mode == "REPEATED" else inner


@dataclass(frozen=True, slots=True)
class TablePartitioning:
    """Partitioning of a table.

    `unit` is HOUR, DAY, MONTH, YEAR or RANGE; `column` is empty for ingestion time; `start`, `end`
    and `step` are those of RANGE.
    """

    column: str
    unit: str = "DAY"
    start: int = 0
    end: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Table, view or other relation; times in milliseconds since the epoch.

    `kind` is TABLE, VIEW, MATERIALIZED_VIEW, EXTERNAL, SNAPSHOT or another word of the service.
    `rows` and `size` (bytes) are 0 for views. `expires_ms` is 0 for never. `view_sql` is empty
    where it is no view. `etag` changes with every change of rows or metadata.
    """

    name: TableName
    kind: str
    fields: tuple[Field, ...]
    rows: int
    size: int
    etag: str
    location: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    clustering: tuple[str, ...] = ()
    partition: TablePartitioning | None = None
    created_ms: int = 0
    modified_ms: int = 0
    expires_ms: int = 0
    view_sql: str = ""

    def column(self, name: str) -> Field | None:
        """Look a column up, in any case, as BigQuery compares names; None: there is none."""
        folded = name.casefold()
        return next((found for found in self.fields if found.name.casefold() == folded), None)


@dataclass(frozen=True, slots=True)
class NewTable:
    """Description of a table to make; `expires_ms` since the epoch, 0 for never."""

    fields: tuple[Field, ...]
    clustering: tuple[str, ...] = ()
    partition: TablePartitioning | None = None
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    expires_ms: int = 0


@dataclass(frozen=True, slots=True)
class Param:
    """Named parameter of a query; a tuple of values is an ``ARRAY`` of `type`."""

    name: str
    type: str
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of GoogleSQL and how it may run.

    `location` is that of the data (`Table.location`). BigQuery finds it itself where it is empty,
    but outside US and EU a job can only be found again by its id **and** its location. A statement
    that would be billed for more than `max_bytes` is refused without being run or billed.
    """

    sql: str
    params: tuple[Param, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """Parquet files that become rows of a table, all or none of them.

    `source` is a local file, or ``gs://`` URIs (at most 10,000, one ``*`` each). `fields` is the
    table's schema, which is made when it is missing (by the local server without REQUIRED); columns
    are matched by name. A failed load counts towards a table's daily number of loads too:
    https://cloud.google.com/bigquery/docs/optimize-load-jobs
    """

    table: TableName
    fields: tuple[Field, ...]
    source: Path | tuple[str, ...]
    write: Write = "WRITE_EMPTY"
    clustering: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """Status of a job.

    `state` is PENDING, RUNNING or DONE; a job that is done failed where `reason` (a word of the
    service, for instance ``invalidQuery``) is not empty. `size` is the bytes that a query has
    processed or a load has read; `rows` those that were written or changed, None where the
    service does not say. `destination` is where rows went, for a query an anonymous table.
    """

    id: str
    kind: str
    state: str
    location: str
    reason: str = ""
    message: str = ""
    size: int = 0
    rows: int | None = None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    destination: TableName | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True where the job is over and changed nothing."""
        return self.state == "DONE" and bool(self.reason)


@dataclass(frozen=True, slots=True)
class Read:
    """Selection for a read session: columns (empty: all), a filter, a moment, how many streams.

    `where` is the row restriction of the Storage Read API: a GoogleSQL condition on columns of
    the table without aggregates. `snapshot_ms` reads the table as it was then, in milliseconds
    since the epoch (None: now); time travel reaches back seven days, or what the dataset says.
    """

    columns: tuple[str, ...] = ()
    where: str = ""
    snapshot_ms: int | None = None
    max_streams: int = 0


@dataclass(frozen=True, slots=True)
class ReadStream:
    """Share of a table's rows; a plain value that any process may read, for six hours.

    `schema` is the serialized Arrow schema. Streams of one session hold disjoint rows and
    together all of them, in no particular order. A stream that is read again gives the same rows
    in the same order, so a worker may take over the stream of one that died.
    """

    name: str
    table: TableName
    schema: bytes


class BigQuery(Protocol):
    """Tables and jobs of BigQuery: the seam; picklable, since each process connects by itself.

    Every method may raise `BigQueryError`: `BigQueryNotFoundError` for a missing table, dataset
    or project; `BigQueryDeniedError` for a missing permission; `BigQueryConflictError` for what
    has changed; `StatementRefusedError` for a statement or a value that BigQuery cannot run;
    `JobFailedError` for a job that failed; plain `BigQueryError` where it did not answer.

    A job id names one job for good. Given again, it stands for the job that has it, whatever the
    rest of the call says: that job is waited for, and its outcome is the call's. So a load or a
    MERGE whose answer was lost, or whose process was killed, is never done twice.
    """

    def table(self, name: TableName) -> Table | None:
        """Describe a table or view; None: there is none (its dataset may be missing too)."""

    def location(self, name: TableName) -> str:
        """Read the location of a table's dataset; the table need not exist.

        Raises:
            BigQueryNotFoundError: the dataset is not there.
        """

    def create_table(self, name: TableName, new: NewTable) -> bool:
        """Make a table if its name is free; return False where something has the name already."""

    def delete_table(self, name: TableName) -> None:
        """Remove a table or view; no error where there is none."""

    def update_table(
        self,
        name: TableName,
        *,
        labels: Mapping[str, str] | None = None,
        description: str | None = None,
        etag: str = "",
    ) -> Table:
        """Change labels (given ones are set, others stay) and description; None leaves them.

        Raises:
            BigQueryConflictError: `etag` was given and the table has another by now.
        """

    def set_view(self, name: TableName, sql: str, etag: str | None) -> Table:
        """Point a view at a query: a new view where `etag` is None, else the one with this etag.

        Compare-and-set: without the etag, of two people who change a view at once, the later
        would undo the earlier unnoticed. A view that already says `sql` counts as set: a request
        that is repeated after a lost answer finds its own change.

        Raises:
            BigQueryConflictError: the name is taken, the view was changed meanwhile, or `etag` is
                empty, so that nothing could be compared.
        """

    def copy(
        self, source: TableName, dest: TableName, job_id: str, labels: Mapping[str, str]
    ) -> Job:
        """Copy a table to a name that is free or to an empty table, and wait for the end.

        Make `dest` first, empty, to be sure of its clustering, labels and description: the local
        server copies none of them to a name that is free. It makes REQUIRED columns NULLABLE
        either way.

        Raises:
            BigQueryConflictError: `dest` holds rows.
        """

    def load(self, load: Load, job_id: str) -> Job:
        """Load Parquet files in one job and wait for the end.

        Raises:
            JobFailedError: a file cannot be read or does not fit the schema; nothing was loaded.
        """

    def query(self, statement: Statement, job_id: str = "") -> Job:
        """Run a statement and wait for the end; its rows are read by `results`.

        Raises:
            JobFailedError: the job of `job_id` had failed when it was asked for again, or failed
                for a reason that lies in none of the kinds above.
        """

    def results(self, job: Job) -> Iterator[pa.RecordBatch]:
        """Read what a query returned, page by page; for large results read its destination."""

    def dry_run(self, statement: Statement) -> int:
        """Return the bytes that a statement would be billed for, without running it.

        An upper bound for clustered tables. DDL and DML are estimated like queries.
        """

    def job(self, job_id: str, location: str = "") -> Job | None:
        """Look a job up; None: there is none of this id in this location."""

    def read_streams(self, table: TableName, read: Read) -> tuple[ReadStream, ...]:
        """Open a read session; returns its streams, none for an empty table.

        Raises:
            StatementRefusedError: a column is not there, the filter is malformed, or it is a view.
                (The local server reads views, and reads rows of now at any `Read.snapshot_ms`.)
        """

    def read_stream(self, stream: ReadStream, offset: int = 0) -> Iterator[pa.RecordBatch]:
        """Read a stream from a row on; after a broken connection, go on at the next row.

        Args:
            stream: one of `read_streams`.
            offset: rows to skip; at most as many as were read of it before.
        """
