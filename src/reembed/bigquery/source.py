"""`source.bigquery`: rows of a table, view or query at one moment, in key order.

The source opens read sessions itself. Beam's ``ReadFromBigQuery`` has no option for an endpoint:
against a local server it needs its clients patched, in every worker too, and how it runs differs
by runner. A plain DoFn over a stream needs nothing of the runner, a stream that a second worker
reads has the same rows in the same order, and the moment that is read is ours to fix.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import orjson

from reembed.bigquery.base import BigQuery, Field, Read, Statement, Table
from reembed.bigquery.client import open_bigquery_client
from reembed.bigquery.costs import query_usd, read_usd
from reembed.bigquery.names import TableName, parse_table
from reembed.bigquery.snapshot import Keys, Snapshot, take_snapshot
from reembed.bigquery.source_reader import TableReader
from reembed.bigquery.sql import result_sql, select_sql, source_sql
from reembed.config.load import ResolvedConfig
from reembed.config.source import BigQuerySource
from reembed.core.names import PARTITION_ITEMS
from reembed.errors import (
    AlreadyExistsError,
    BigQueryDeniedError,
    BigQueryNotFoundError,
    ObjectNotFoundError,
    StatementRefusedError,
    UsageError,
)
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import Prepared, Source, SourceKind, Span
from reembed.sources.rows import with_resolved_uris
from reembed.storage.base import Storage

Fits = Callable[[Field], bool]


def columns_of(table: Table, columns: BigQuerySource, name: str) -> BigQuerySource:
    """Find the configured columns, spelt as the table spells them: BigQuery ignores case.

    Args:
        table: description of what is read.
        columns: as configured.
        name: of the table or query, for messages.

    Raises:
        UsageError: a column is not there, or its type does not fit.
    """

    def find(column: str, fits: Fits | None = None) -> str:
        field = table.column(column)
        if field is None:
            has = ", ".join(each.name for each in table.fields[:20])
            raise UsageError(f"{name} has no column {column!r}; it has {has}")
        if fits is not None and not fits(field):
            raise UsageError(
                f"{name}: column {column!r} is {field.sql_type}; give a column of {_EXPECTED[fits]}"
            )
        return field.name

    def find_optional(column: str | None, fits: Fits) -> str | None:
        return None if column is None else find(column, fits)

    update = {
        "key": find(columns.key, _is_key),
        "text": find_optional(columns.text, _is_text),
        "uri": find_optional(columns.uri, _is_text),
        "parts": find_optional(columns.parts, _is_parts),
        "title": find_optional(columns.title, _is_text),
        "metadata": tuple(find(column) for column in columns.metadata),
    }
    return columns.model_copy(update=update)


def _is_key(field: Field) -> bool:
    return field.mode != "REPEATED" and field.type in ("STRING", "INT64")


def _is_text(field: Field) -> bool:
    return field.mode != "REPEATED" and field.type == "STRING"


def _is_parts(field: Field) -> bool:
    if field.mode != "REPEATED":
        return field.type in ("STRING", "JSON")
    inner = field.fields
    known = {each.name for each in inner} <= {"text", "uri"}
    return field.type == "STRUCT" and bool(inner) and known and all(_is_text(f) for f in inner)


_EXPECTED: Final[dict[Fits, str]] = {
    _is_key: "STRING or INT64",
    _is_text: "STRING",
    _is_parts: "ARRAY<STRUCT<text STRING, uri STRING>>, or of JSON or STRING that says the same",
}


# Kinds that the Storage Read API reads. Of views and external tables a query's result is read:
# https://cloud.google.com/bigquery/docs/reference/storage#limitations
_READABLE = ("TABLE", "SNAPSHOT")
_PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"


def open_bigquery_source(loaded: ResolvedConfig, storage: Storage) -> Source:
    """Open the table or query of a configuration; URIs in its rows are resolved.

    Raises:
        UsageError: see `open_bigquery`.
    """
    columns = loaded.config.source.bigquery
    assert columns is not None
    return with_resolved_uris(open_bigquery(loaded, storage), columns, loaded)


BIGQUERY: Final = SourceKind(open_bigquery_source, samples=True)


def open_bigquery(
    loaded: ResolvedConfig,
    storage: Storage,
    connect: Callable[[str], BigQuery] = open_bigquery_client,
) -> Source:
    """Describe the table, or estimate the query; nothing is read or billed yet.

    Args:
        loaded: names the table or query and its columns.
        storage: not touched.
        connect: makes the client of the project that pays.

    Raises:
        UsageError: a table or a column is not there, has another type, or may not be read.
    """
    options, sample = loaded.config.source.bigquery, loaded.config.source.sample
    assert options is not None
    bigquery = connect(_paying_project(options))
    if options.query is not None:
        name = f"query:{hashlib.sha256(options.query.encode()).hexdigest()[:16]}"
        statement = _select(result_sql(options.query), options, options.location or "")
        return _query_rows(bigquery, statement, options, name, sample)
    return _open_table(bigquery, parse_table(options.table or ""), options, sample)


def _open_table(
    bigquery: BigQuery, name: TableName, options: BigQuerySource, sample: int | None
) -> Source:
    with as_usage_error(str(name)):
        table = bigquery.table(name)
    if table is None:
        raise UsageError(f"{name} is not there; check source.bigquery.table")
    columns = columns_of(table, options, str(name))
    location = options.location or table.location
    if table.kind not in _READABLE:
        statement = _select(source_sql(name, None, options.where or ""), columns, location)
        return _query_rows(bigquery, statement, columns, str(name), sample)
    return TableRows(bigquery, table, columns, str(name), location, sample)


def _paying_project(options: BigQuerySource) -> str:
    """Choose the project that pays: the configured one, the environment's, the table's.

    Raises:
        UsageError: a query, and neither of the first two is given.
    """
    project = options.project or os.environ.get(_PROJECT_VARIABLE, "")
    if not project and options.table is not None:
        project = parse_table(options.table).project
    if not project:
        raise UsageError(
            "source.bigquery.query: no project to pay for it; give "
            f"source.bigquery.project, or set {_PROJECT_VARIABLE}"
        )
    return project


def _select(source: str, columns: BigQuerySource, location: str) -> Statement:
    return Statement(select_sql(source, columns.names), location=location)


def _query_rows(
    bigquery: BigQuery,
    statement: Statement,
    columns: BigQuerySource,
    name: str,
    sample: int | None,
) -> QueryRows:
    """Estimate a query, which is free and shows whether it can run at all."""
    with as_usage_error(name):
        bigquery.dry_run(statement)
    # The condition is in the statement already; its result is read whole.
    columns = columns.model_copy(update={"where": None})
    return QueryRows(bigquery, statement, columns, name, sample)


@contextmanager
def as_usage_error(name: str) -> Iterator[None]:
    """Turn errors that the user can mend into usage errors: a table, a permission, a condition.

    Raises:
        UsageError: names the table or query; has BigQuery's message and the remedy.
    """
    try:
        yield
    except (BigQueryNotFoundError, BigQueryDeniedError, StatementRefusedError) as err:
        message = str(err)
        raise UsageError(message if name in message else f"{name}: {message}") from err


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one table; `name` becomes the `uri` of its items."""

    bigquery: BigQuery
    table: Table
    columns: BigQuerySource
    name: str
    location: str
    sample: int | None = None
    unique: bool = False

    def identity(self) -> Iterator[bytes]:
        """Table, the time of its last change, its size, and the types of the columns.

        Not its etag: that changes with labels and descriptions too, and a new label must not make
        a new plan. Condition and sample are in the frozen configuration.
        """
        table = self.table
        fields = [table.column(name) for name in self.columns.names]
        types = [[field.name, field.sql_type] for field in fields if field is not None]
        yield orjson.dumps([str(table.name), table.modified_ms, table.rows, table.size, types])

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Fix what is read, once a plan, and open a read session over it.

        A table that changed since `identity` was called is read as it is now: the next plan has
        another id, and nothing is missed.
        """
        snapshot, resumed = self._snapshot(run_dir, plan)
        reader = self._reader(snapshot, b"")
        after = (len(snapshot.borders) + 1) * PARTITION_ITEMS
        spans = [
            Span("", start, min(start + PARTITION_ITEMS, snapshot.keyless), after + start)
            for start in range(0, snapshot.keyless, PARTITION_ITEMS)
        ]
        try:
            with as_usage_error(self.name):
                streams = self.bigquery.read_streams(self.table.name, self._read(snapshot))
        except UsageError as err:
            if not resumed or snapshot.moment is None:
                raise
            then = datetime.fromtimestamp(snapshot.moment / 1000, UTC)
            raise UsageError(
                f"{err}; the plan was begun with the table as of {then:%Y-%m-%d %H:%M:%S} UTC: if "
                f"that is out of reach by now, remove {run_dir.layout.plan_dir(plan)} and run again"
            ) from err
        if streams and snapshot.items > snapshot.keyless:
            reader = self._reader(snapshot, streams[0].schema)
            spans += [Span(stream.name, 0, 0) for stream in streams]
        return Prepared(reader, tuple(spans), snapshot.items)

    def describe(self) -> str:
        """Number of rows; price of the query over the keys and of reading the columns."""
        where = self.columns.where or ""
        source = source_sql(self.table.name, None, where)
        with as_usage_error(self.name):
            keys = self._dry_run(select_sql(source, (self.columns.key,)))
            # The local server estimates nothing.
            size = self._dry_run(select_sql(source, self.columns.names)) or self.table.size
        rest = " before its condition" if where else ""
        return (
            f"{self.table.rows:,} rows in {self.name}{rest}, {size / 1e6:,.1f} MB to read; about "
            f"${read_usd(size) + query_usd(keys):.4f} at BigQuery"
        )

    def _dry_run(self, sql: str) -> int:
        return self.bigquery.dry_run(Statement(sql, location=self.location))

    def _snapshot(self, run_dir: RunDir, plan: str) -> tuple[Snapshot, bool]:
        """Read the plan's snapshot, or take it and put it on record; and tell which.

        A plan that was cut off goes on with the moment and the borders that it began with: workers
        that read at two moments would miss rows, or see some twice.
        """
        storage, uri = run_dir.storage, run_dir.layout.snapshot(plan)
        try:
            return Snapshot.decode(storage.read(uri), uri), True
        except ObjectNotFoundError:
            pass
        where = self.columns.where or ""
        # Results of queries and snapshots of tables are never written again.
        changes = self.table.kind == "TABLE"
        key = self.columns.key
        keys = Keys(self.bigquery, self.table, key, where, self.location, changes)
        with as_usage_error(self.name):
            taken = take_snapshot(keys, self.sample)
        try:
            storage.create(uri, taken.encode())
        except AlreadyExistsError:
            return Snapshot.decode(storage.read(uri), uri), True
        return taken, False

    def _read(self, snapshot: Snapshot) -> Read:
        conditions = [f"(\n{part}\n)" for part in (self.columns.where, snapshot.only) if part]
        return Read(self.columns.names, " AND ".join(conditions), snapshot.moment)

    def _reader(self, snapshot: Snapshot, schema: bytes) -> TableReader:
        generation = "" if snapshot.moment is None else str(snapshot.moment)
        return TableReader(
            self.bigquery,
            self.table.name,
            schema,
            self.columns,
            (self.name, generation),
            snapshot.borders,
            # A sample of nothing takes nothing.
            None if self.sample is None else bytes.fromhex(snapshot.most),
        )


class QueryRows:
    """Result of a query, or of a view; the query runs when its rows are first asked for.

    BigQuery writes a result into a table of its own, free and kept for a day. It gives the same
    one again while nothing that the query reads has changed and nothing in it depends on the
    moment: https://cloud.google.com/bigquery/docs/cached-results. So that table's identity is
    the result's. Where it is written anew, a plan is made anew, which buys no vector twice.

    Args:
        bigquery: runs it.
        statement: selects the columns that are read.
        columns: as configured, without a condition.
        name: becomes the `uri` of its items.
        sample: how many items are taken; None: all.
    """

    unique = False

    def __init__(
        self,
        bigquery: BigQuery,
        statement: Statement,
        columns: BigQuerySource,
        name: str,
        sample: int | None,
    ) -> None:
        self._bigquery, self._statement, self._columns = bigquery, statement, columns
        self._name, self._sample = name, sample
        self._rows: TableRows | None = None

    def identity(self) -> Iterator[bytes]:
        """Identity of the table that holds the result; the query runs."""
        return self._result().identity()

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Fix the borders and open a read session over the result."""
        return self._result().prepare(run_dir, plan)

    def describe(self) -> str:
        """Price of the query, by a dry run."""
        with as_usage_error(self._name):
            size = self._bigquery.dry_run(self._statement)
        return (
            f"{self._name}, a query of {size / 1e6:,.1f} MB, about ${query_usd(size):.4f} at "
            "BigQuery, and then the reading of its result"
        )

    def _result(self) -> TableRows:
        if self._rows is None:
            with as_usage_error(self._name):
                job = self._bigquery.query(self._statement)
                result = job.destination
                table = self._bigquery.table(result) if result is not None else None
            if table is None:
                raise UsageError(
                    f"{self._name}: job {job.id} left no table of results; give a query that "
                    "returns rows"
                )
            columns = columns_of(table, self._columns, self._name)
            # A result is never written again, so it is read like a snapshot: without a moment.
            snapshot = replace(table, kind="SNAPSHOT")
            location = self._statement.location or job.location
            self._rows = TableRows(
                self._bigquery, snapshot, columns, self._name, location, self._sample
            )
        return self._rows
