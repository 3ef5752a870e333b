"""`source.bigquery`: rows of a table, view or query at one moment, in key order."""

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
from reembed.bigquery.names import parse_table
from reembed.bigquery.snapshot import Keys, Snapshot, take_snapshot
from reembed.bigquery.source_reader import TableReader
from reembed.bigquery.sql import result_sql, select_sql, source_sql
from reembed.config.load import LoadedConfig
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
from reembed.ledger.layout import Layout
from reembed.sources.base import Prepared, Source, SourceKind, Span
from reembed.sources.rows import with_resolved_uris
from reembed.storage.base import Storage

Fits = Callable[[Field], bool]


def columns_of(table: Table, wanted: BigQuerySource, place: str) -> BigQuerySource:
    """The configured columns, spelt as the table spells them: BigQuery compares without case.

    Args:
        table: what is read.
        wanted: as configured.
        place: what the table is called in messages.

    Raises:
        UsageError: a column is not there, or of a type that cannot hold what it is said to.
    """

    def found(name: str, fits: Fits | None = None) -> str:
        field = table.column(name)
        if field is None:
            has = ", ".join(each.name for each in table.fields[:20])
            raise UsageError(f"{place} has no column {name!r}; it has {has}")
        if fits is not None and not fits(field):
            raise UsageError(
                f"{place}: column {name!r} is {field.sql_type}; give a column of {_WANTED[fits]}"
            )
        return field.name

    def spelt(name: str | None, fits: Fits) -> str | None:
        return None if name is None else found(name, fits)

    update = {
        "key": found(wanted.key, _is_key),
        "text": spelt(wanted.text, _is_text),
        "uri": spelt(wanted.uri, _is_text),
        "parts": spelt(wanted.parts, _is_parts),
        "title": spelt(wanted.title, _is_text),
        "metadata": tuple(found(name) for name in wanted.metadata),
    }
    return wanted.model_copy(update=update)


def _is_key(field: Field) -> bool:
    return field.mode != "REPEATED" and field.type in ("STRING", "INT64")


def _is_text(field: Field) -> bool:
    return field.mode != "REPEATED" and field.type == "STRING"


def _is_parts(field: Field) -> bool:
    if field.mode != "REPEATED":
        return field.type in ("STRING", "JSON")
    inner = field.fields
    named = {each.name for each in inner} <= {"text", "uri"}
    return field.type == "STRUCT" and bool(inner) and named and all(_is_text(f) for f in inner)


_WANTED: Final[dict[Fits, str]] = {
    _is_key: "STRING or INT64",
    _is_text: "STRING",
    _is_parts: "ARRAY<STRUCT<text STRING, uri STRING>>, or of JSON or STRING that says the same",
}


# What the Storage Read API reads itself; of the rest (views, external tables) a query's result is
# read: https://cloud.google.com/bigquery/docs/reference/storage#limitations
_READABLE = ("TABLE", "SNAPSHOT")
_PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"


def open_bigquery_source(loaded: LoadedConfig, storage: Storage) -> Source:
    """Open the table or query of a configuration; URIs in its rows are resolved.

    Raises:
        UsageError: see `open_bigquery`.
    """
    columns = loaded.config.source.bigquery
    assert columns is not None
    return with_resolved_uris(open_bigquery(loaded, storage), columns, loaded)


BIGQUERY: Final = SourceKind(open_bigquery_source, samples=True)


def open_bigquery(
    loaded: LoadedConfig,
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
    config = loaded.config.source
    wanted, sample = config.bigquery, config.sample
    assert wanted is not None
    bigquery = connect(_payer(wanted))
    if wanted.query is not None:
        called = f"query:{hashlib.sha256(wanted.query.encode()).hexdigest()[:16]}"
        statement = _result_of(result_sql(wanted.query), wanted, wanted.location or "")
        return _query_rows(bigquery, statement, wanted, called, sample)
    name = parse_table(wanted.table or "")
    with mendable(str(name)):
        table = bigquery.table(name)
    if table is None:
        raise UsageError(f"{name} is not there; check source.bigquery.table")
    columns = columns_of(table, wanted, str(name))
    location = wanted.location or table.location
    if table.kind not in _READABLE:
        statement = _result_of(source_sql(name, None, wanted.where or ""), columns, location)
        return _query_rows(bigquery, statement, columns, str(name), sample)
    return TableRows(bigquery, table, columns, str(name), location, sample)


def _payer(wanted: BigQuerySource) -> str:
    """The project that pays.

    Raises:
        UsageError: nothing says which.
    """
    said = wanted.project or os.environ.get(_PROJECT_VARIABLE, "")
    if not said and wanted.table is not None:
        said = parse_table(wanted.table).project
    if not said:
        raise UsageError(
            "source.bigquery.query: nothing says which project pays; give "
            f"source.bigquery.project, or set {_PROJECT_VARIABLE}"
        )
    return said


def _result_of(source: str, columns: BigQuerySource, location: str) -> Statement:
    return Statement(select_sql(source, columns.names), location=location)


def _query_rows(
    bigquery: BigQuery,
    statement: Statement,
    wanted: BigQuerySource,
    name: str,
    sample: int | None,
) -> QueryRows:
    """Estimate a query, which is free and shows whether it can run at all."""
    with mendable(name):
        bigquery.dry_run(statement)
    # The condition is in the statement already; its result is read whole.
    columns = wanted.model_copy(update={"where": None})
    return QueryRows(bigquery, statement, columns, name, sample)


@contextmanager
def mendable(name: str) -> Iterator[None]:
    """Tell the user of what the user can mend: a table, a permission, a condition.

    Raises:
        UsageError: names the table or query, what BigQuery said, and the remedy.
    """
    try:
        yield
    except (BigQueryNotFoundError, BigQueryDeniedError, StatementRefusedError) as err:
        said = str(err)
        raise UsageError(said if name in said else f"{name}: {said}") from err


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one table; `name` is what items are said to come from."""

    bigquery: BigQuery
    table: Table
    columns: BigQuerySource
    name: str
    location: str
    sample: int | None = None
    unique: bool = False

    def identity(self) -> Iterator[bytes]:
        """The table, when it was changed last, its size, and the types of what is read.

        Not its etag, which changes with labels and descriptions too. The condition and the
        sample are named by the configuration.
        """
        table = self.table
        fields = [table.column(name) for name in self.columns.names]
        types = [[field.name, field.sql_type] for field in fields if field is not None]
        yield orjson.dumps([str(table.name), table.modified_ms, table.rows, table.size, types])

    def prepare(self, storage: Storage, layout: Layout, plan: str) -> Prepared:
        """Fix what is read, once a plan, and open a read session over it.

        A table that changed since its identity was taken is read as it is now: the next plan
        has another name.
        """
        snapshot, taken_up = self._snapshot(storage, layout, plan)
        reader = self._reader(snapshot, b"")
        after = (len(snapshot.borders) + 1) * PARTITION_ITEMS
        spans = [
            Span("", start, min(start + PARTITION_ITEMS, snapshot.keyless), after + start)
            for start in range(0, snapshot.keyless, PARTITION_ITEMS)
        ]
        try:
            with mendable(self.name):
                streams = self.bigquery.read_streams(self.table.name, self._read(snapshot))
        except UsageError as err:
            if not taken_up or snapshot.moment is None:
                raise
            then = datetime.fromtimestamp(snapshot.moment / 1000, UTC)
            raise UsageError(
                f"{err}; the plan was begun with the table as of {then:%Y-%m-%d %H:%M:%S} UTC: if "
                f"that is out of reach by now, remove {layout.plan_dir(plan)} and run again"
            ) from err
        if streams and snapshot.items > snapshot.keyless:
            reader = self._reader(snapshot, streams[0].schema)
            spans += [Span(stream.name, 0, 0) for stream in streams]
        return Prepared(reader, tuple(spans), snapshot.items)

    def describe(self) -> str:
        """How many rows, and what looking at the keys and reading the columns costs."""
        where = self.columns.where or ""
        source = source_sql(self.table.name, None, where)
        with mendable(self.name):
            keys = self._dry(select_sql(source, (self.columns.key,)))
            # The local server estimates nothing.
            size = self._dry(select_sql(source, self.columns.names)) or self.table.size
        rest = " before its condition" if where else ""
        return (
            f"{self.table.rows:,} rows in {self.name}{rest}, {size / 1e6:,.1f} MB to read; about "
            f"${read_usd(size) + query_usd(keys):.4f} at BigQuery"
        )

    def _dry(self, sql: str) -> int:
        return self.bigquery.dry_run(Statement(sql, location=self.location))

    def _snapshot(self, storage: Storage, layout: Layout, plan: str) -> tuple[Snapshot, bool]:
        """What is on record for the plan, or is put on record now; and whether it was there."""
        place = layout.snapshot(plan)
        try:
            return Snapshot.decode(storage.read(place), place), True
        except ObjectNotFoundError:
            pass
        where = self.columns.where or ""
        # A result of a query, and a snapshot of a table, are never written again.
        changes = self.table.kind == "TABLE"
        key = self.columns.key
        keys = Keys(self.bigquery, self.table, key, where, self.location, changes)
        with mendable(self.name):
            taken = take_snapshot(keys, self.sample)
        try:
            storage.create(place, taken.encode())
        except AlreadyExistsError:
            return Snapshot.decode(storage.read(place), place), True
        return taken, False

    def _read(self, snapshot: Snapshot) -> Read:
        both = [f"(\n{part}\n)" for part in (self.columns.where, snapshot.only) if part]
        return Read(self.columns.names, " AND ".join(both), snapshot.moment)

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
    """The result of a query, or of a view; the query runs when its rows are first asked for.

    BigQuery writes the result into a table of its own, free and kept for a day, and gives the same
    one again while nothing that the query reads has changed and nothing in it depends on the
    moment: https://cloud.google.com/bigquery/docs/cached-results. So that table's state names the
    result's. Where it is written anew, a plan is made anew, which buys no vector twice.

    Args:
        bigquery: runs it.
        statement: selects the columns that are read.
        columns: as configured, without a condition.
        name: what items are said to come from.
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
        """The table that holds the result; the query runs."""
        return self._result().identity()

    def prepare(self, storage: Storage, layout: Layout, plan: str) -> Prepared:
        """Fix the borders, and open a read session over the result."""
        return self._result().prepare(storage, layout, plan)

    def describe(self) -> str:
        """What the query costs; it does not run for that."""
        with mendable(self._name):
            size = self._bigquery.dry_run(self._statement)
        return (
            f"{self._name}, a query of {size / 1e6:,.1f} MB, about ${query_usd(size):.4f} at "
            "BigQuery, and then the reading of its result"
        )

    def _result(self) -> TableRows:
        if self._rows is None:
            with mendable(self._name):
                job = self._bigquery.query(self._statement)
                place = job.destination
                table = self._bigquery.table(place) if place is not None else None
            if table is None:
                raise UsageError(
                    f"{self._name}: job {job.id} left no table of results; give a query that "
                    "returns rows"
                )
            columns = columns_of(table, self._columns, self._name)
            # Whatever kind it says it is: nobody writes to it again.
            still = replace(table, kind="SNAPSHOT")
            location = self._statement.location or job.location
            self._rows = TableRows(
                self._bigquery, still, columns, self._name, location, self._sample
            )
        return self._rows
