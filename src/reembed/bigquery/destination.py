"""BigQuery table as the destination: its existing rows, and publishing a settled run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson
import pyarrow as pa

from reembed.bigquery import schema
from reembed.bigquery.base import BigQuery, Field, NewTable, Param, Read, Statement, Table
from reembed.bigquery.client import open_bigquery_client
from reembed.bigquery.names import parse_table
from reembed.bigquery.publish import Publication, Target
from reembed.bigquery.sql import count_sql, probe_sql, rows_sql, spaces_sql
from reembed.config.schema import Config
from reembed.core.schema import ROW
from reembed.destinations.base import (
    EXISTING,
    DestinationKind,
    Published,
    Report,
    SettledRun,
)
from reembed.errors import (
    BigQueryDeniedError,
    BigQueryError,
    BigQueryNotFoundError,
    ObjectNotFoundError,
    RunFailedError,
    UsageError,
)
from reembed.ledger.run_dir import RunDir

# Of a statement with its parameters: https://cloud.google.com/bigquery/quotas#query_jobs allows
# 10 MB and 10,000 parameters (an array is one).
_KEYS_AT_ONCE, _KEY_BYTES_AT_ONCE = 10_000, 4_000_000
_HOUR_MS: Final = 3_600_000
_EXAMPLES: Final = 5
# A row that lacks one of these cannot be told apart from others; it never counts as existing.
_COMPLETE: Final = " AND ".join(f"`{field.name}` IS NOT NULL" for field in EXISTING)


def open_bigquery_table(config: Config, run_dir: RunDir, report: Report) -> BigQueryTable:
    """Open the table that a configuration names; the price of a MERGE is reported before it runs.

    Raises:
        UsageError: the table's name is malformed.
    """
    return BigQueryTable(config, run_dir, client_of(config), report)


BIGQUERY: Final = DestinationKind(open_bigquery_table)


def client_of(config: Config) -> BigQuery:
    """Make the client of the project that pays for the destination.

    Raises:
        UsageError: there is no `destination.bigquery`, or its table's name is malformed.
    """
    options = schema.destination_of(config)
    return open_bigquery_client(options.project or parse_table(options.table).project)


class BigQueryTable:
    """Table that ``destination.bigquery`` names.

    Args:
        config: names table, staging and options.
        run_dir: where the run's parts lie.
        bigquery: client of the project that pays.
        report: called with what is about to cost money.
    """

    def __init__(
        self,
        config: Config,
        run_dir: RunDir,
        bigquery: BigQuery,
        report: Report = lambda _: None,
    ) -> None:
        self._config, self._run_dir, self._bigquery = config, run_dir, bigquery
        self._target = Target(config, run_dir, bigquery, report)
        self._name = self._target.table

    def check(self) -> None:
        """Refuse a table that could not take the rows: location, permissions, columns, model.

        Whether the table was there is put on record: see `_check_since_planned`.
        """
        options = schema.destination_of(self._config)
        schema.check_labels(options.labels)
        schema.new_table(self._config, {})
        with self._as_usage_error():
            location = self._bigquery.location(self._name)
            self._check_locations(location)
            self._check_staging()
            table = self._bigquery.table(self._name)
            if table is not None:
                self._check_table(table)
                probe = Statement(probe_sql(self._name), location=location)
                self._bigquery.dry_run(probe)
        seen = {"table": str(self._name), "there": table is not None}
        self._run_dir.storage.put(self._run_dir.layout.destination_seen(), orjson.dumps(seen))

    def identity(self) -> Iterator[bytes]:
        """Table with its etag, which changes with its rows and columns, and its row count.

        The count comes from a query, which bills nothing: `Table.rows` leaves out what was
        streamed in last, and local servers only estimate it.
        """
        table = self._bigquery.table(self._name)
        state: list[Any] = [str(self._name)]
        if table is not None:
            statement = Statement(count_sql(self._name), location=table.location)
            batches = self._bigquery.results(self._bigquery.query(statement))
            state += [table.created_ms, table.modified_ms, table.size, table.etag]
            state += [batch.to_pylist() for batch in batches]
        yield orjson.dumps(state)

    def existing(self) -> Iterator[pa.RecordBatch]:
        """Read the rows by the columns of `EXISTING`, from one read session."""
        if self._bigquery.table(self._name) is None:
            return
        read = Read(tuple(EXISTING.names), _COMPLETE)
        for stream in self._bigquery.read_streams(self._name, read):
            for batch in self._bigquery.read_stream(stream):
                table = pa.Table.from_batches([batch]).select(EXISTING.names).cast(EXISTING)
                yield from table.to_batches()

    def rows(self, keys: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """Read the rows of some keys; each slice of keys is one query, billed for the whole table.

        The result's table is read by the Storage Read API: vectors are large, and pages of results
        come one after the other, as text.
        """
        location = self._bigquery.location(self._name)
        for some in _slices(sorted(set(keys))):
            params = (Param("keys", "STRING", some),)
            statement = Statement(rows_sql(self._name, ROW.names), params, location=location)
            job = self._bigquery.query(statement)
            if job.destination is None:
                raise RunFailedError(f"{self._name}: query {job.id} has no result; run again")
            for stream in self._bigquery.read_streams(job.destination, Read(tuple(ROW.names))):
                for batch in self._bigquery.read_stream(stream):
                    table = pa.Table.from_batches([batch]).select(ROW.names).cast(ROW)
                    yield from table.to_batches()

    def publish(self, settled: SettledRun, removed: Iterable[str]) -> Published:
        """Load the run's parts into staging; copy it into a new table, or merge it into an old one.

        Raises:
            RunFailedError: the table was changed since the plan, or BigQuery refused a step.
        """
        try:
            publication = Publication.of(self._target, settled)
            table = self._get_or_make(settled)
            if self._is_ours_to_fill(table, settled, publication):
                return publication.fill_new(table)
            self._check_since_planned(table, settled)
            return publication.merge_into(table, removed)
        except BigQueryError as err:
            raise RunFailedError(
                f"run {settled.run} is not in {self._name} yet: {err}. Its rows wait under "
                f"{self._run_dir.path}/vectors and nothing is paid again: run again"
            ) from err

    def _get_or_make(self, settled: SettledRun) -> Table:
        """Return the table; make it, empty, where its name is free.

        A new table carries labels that name the run and say `making`: a call that is killed before
        the copy leaves an empty table, and these labels tell the next call, and people, whose.
        """
        found = self._bigquery.table(self._name)
        if found is not None:
            return found
        labels = schema.run_labels(self._config, settled.run, schema.MAKING)
        description = schema.described("", self._config, settled.run)
        self._bigquery.create_table(self._name, schema.new_table(self._config, labels, description))
        found = self._bigquery.table(self._name)
        if found is None:
            raise RunFailedError(f"{self._name} was removed right after it was made; run again")
        return found

    def _is_ours_to_fill(self, table: Table, settled: SettledRun, publication: Publication) -> bool:
        """Tell whether this run made the table, and copied into it or is still to do so."""
        if publication.jobs.find(publication.copy_step(table)) is not None:
            return True
        made = {schema.RUN: schema.label(settled.run), schema.STATE: schema.MAKING}
        return table.rows == 0 and made.items() <= table.labels.items()

    def _check_since_planned(self, table: Table, settled: SettledRun) -> None:
        """Refuse a table that is not the one that the plan has looked at.

        What was new was decided by the table as it was then. A table that appeared since, or has
        other columns or another model by now, was never weighed.

        Raises:
            RunFailedError: it was made by somebody else, or changed.
        """
        remedy = (
            "the run's rows wait and nothing is paid again: mend it, or remove it and a new one "
            "is made"
        )
        try:
            self._check_table(table)
        except UsageError as err:
            raise RunFailedError(f"since the run was planned: {err}; {remedy}") from err
        ours = table.labels.get(schema.RUN) == schema.label(settled.run)
        if not ours and self._was_there_when_planned() is False:
            raise RunFailedError(
                f"{table.name} was made by somebody else since the run was planned; if it is to "
                "take these rows, `reembed plan` accepts it as it is, then run again"
            )

    def _was_there_when_planned(self) -> bool | None:
        """Tell whether the last plan found the table; None: no plan has recorded it."""
        try:
            seen = orjson.loads(self._run_dir.storage.read(self._run_dir.layout.destination_seen()))
        except (ObjectNotFoundError, orjson.JSONDecodeError):
            return None
        return bool(seen["there"]) if seen.get("table") == str(self._name) else None

    def _check_locations(self, location: str) -> None:
        options = schema.destination_of(self._config)
        if options.location is not None and options.location.casefold() != location.casefold():
            raise UsageError(
                f"destination.bigquery.location: {options.location}: the dataset of {self._name} "
                f"is in {location}; leave it out"
            )
        if options.staging_dataset is not None:
            other = self._bigquery.location(schema.table_beside(self._config, "probe"))
            if other.casefold() != location.casefold():
                raise UsageError(
                    f"destination.bigquery.staging_dataset: {options.staging_dataset} is in "
                    f"{other} and {self._name} in {location}; name a dataset of the same location"
                )

    def _check_staging(self) -> None:
        """Find out whether tables may be made: an empty one is made and removed.

        It expires, should the process die between the two.
        """
        probe = schema.table_beside(self._config, "probe")
        now = self._run_dir.storage.now(self._run_dir.layout.clock("check"))
        new = NewTable((Field("key", "STRING"),), expires_ms=round(now * 1000) + _HOUR_MS)
        self._bigquery.create_table(probe, new)
        self._bigquery.delete_table(probe)

    def _check_table(self, table: Table) -> None:
        """Refuse other columns, and vectors of another model: distances between two mean nothing.

        The labels tell the model where they name it; else one query of three small columns does.
        """
        schema.check_columns(table)
        options = schema.destination_of(self._config)
        labels = schema.space_labels(self._config)
        same = all(table.labels.get(name) == value for name, value in labels.items())
        if same or options.allow_other_model:
            return
        statement = Statement(spaces_sql(self._name, _EXAMPLES), location=table.location)
        model = self._config.model
        ours = (model.name, model.dimensions, model.task)
        batches = self._bigquery.results(self._bigquery.query(statement))
        found = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
        others = [
            f"{name} ({size} dimensions, {task})"
            for name, size, task in found
            if (name, size, task) != ours
        ]
        if others:
            raise UsageError(
                f"{self._name} holds vectors of {', '.join(others)}, and this configuration makes "
                f"{ours[0]} ({ours[1]} dimensions, {ours[2]}): spaces are incompatible. Name "
                "another table, or set destination.bigquery.allow_other_model to mix them"
            )

    @contextmanager
    def _as_usage_error(self) -> Iterator[None]:
        """Turn a missing dataset or permission into a usage error: nothing was paid yet."""
        try:
            yield
        except BigQueryNotFoundError as err:
            raise UsageError(
                f"destination.bigquery.table: {err}; make the dataset first: "
                f"bq mk --dataset {self._name.project}:{self._name.dataset}"
            ) from err
        except BigQueryDeniedError as err:
            raise UsageError(f"destination.bigquery.table: {err}") from err


def _slices(keys: list[str]) -> Iterator[tuple[str, ...]]:
    """Cut keys into slices that one query takes as a parameter."""
    some: list[str] = []
    size = 0
    for key in keys:
        length = len(key.encode())
        if some and (len(some) == _KEYS_AT_ONCE or size + length > _KEY_BYTES_AT_ONCE):
            yield tuple(some)
            some, size = [], 0
        some.append(key)
        size += length
    if some:
        yield tuple(some)
