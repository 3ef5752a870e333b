"""BigQuery in memory for tests of the table source: states of tables, counted and read."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from reembed.bigquery.base import Field, Job, Read, ReadStream, Statement, Table
from reembed.bigquery.names import TableName, parse_table
from reembed.bigquery.sql import CLOCK_SQL
from reembed.errors import BigQueryError, BigQueryNotFoundError

KINDS = {pa.string(): "STRING", pa.int64(): "INT64", pa.float64(): "FLOAT64"}
_FROM = re.compile(r"FROM `([^`]+)`\.`([^`]+)`\.`([^`]+)`(?:.*TIMESTAMP_MILLIS\((\d+)\))?")
_SHARED_OUT = re.compile(r"SELECT COUNT.*APPROX_QUANTILES\(`(\w+)`, (\d+)\)", re.S)
_ONLY = re.compile(r"`(\w+)` IN (\(.*\))", re.S)


def fields_of(table: pa.Table) -> tuple[Field, ...]:
    """Columns as the service would describe them."""

    def told(name: str, kind: pa.DataType) -> Field:
        if pa.types.is_list(kind):
            inner = told(name, kind.value_type)
            return Field(name, inner.type, "REPEATED", inner.fields)
        if pa.types.is_struct(kind):
            parts = [kind.field(at) for at in range(kind.num_fields)]
            return Field(name, "STRUCT", "NULLABLE", tuple(told(p.name, p.type) for p in parts))
        return Field(name, KINDS.get(kind, "TIMESTAMP"))

    return tuple(told(column.name, column.type) for column in table.schema)


@dataclass
class MemoryTables:
    """Tables with all their states; the clock moves by a second with each change and look.

    `conditions` says what each condition of a test means, `selected` the table that each
    statement that is no count leaves, `fails` raises what it holds in the method of that name.
    `asked` and `reads` keep what was sent.
    """

    streams: int = 2
    now: int = 1_000_000
    states: dict[str, list[tuple[int, pa.Table]]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, Callable[[dict[str, Any]], bool]] = field(default_factory=dict)
    selected: dict[str, str] = field(default_factory=dict)
    fails: dict[str, BigQueryError] = field(default_factory=dict)
    bytes_billed: int = 0
    asked: list[str] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    _answers: dict[str, pa.Table] = field(default_factory=dict)
    _read: list[tuple[str, pa.Table]] = field(default_factory=list)

    def put(self, name: str, **columns: Any) -> None:
        """Give a table its next state."""
        self.now += 1000
        self.states.setdefault(name, []).append((self.now, pa.table(columns)))

    def table(self, name: TableName) -> Table | None:
        self._maybe_fail("table")
        if str(name) not in self.states:
            return None
        changed, rows = self.states[str(name)][-1]
        kind = self.kinds.get(str(name), "TABLE")
        count = rows.num_rows if kind == "TABLE" else 0
        etag = f"e{self.now}"
        return Table(
            name, kind, fields_of(rows), count, rows.nbytes, etag, "EU", modified_ms=changed
        )

    def query(self, statement: Statement, job_id: str = "") -> Job:
        self._maybe_fail("query")
        self.now += 1000
        self.asked.append(statement.sql)
        number = f"job{len(self.asked)}"
        destination = None
        if statement.sql == CLOCK_SQL:
            self._answers[number] = pa.table({"now": [self.now]})
        elif found := _SHARED_OUT.match(statement.sql):
            self._answers[number] = self._share_out(statement.sql, found[1], int(found[2]))
        else:
            destination = parse_table(self.selected[statement.sql])
        return Job(number, "query", "DONE", statement.location, destination=destination)

    def _share_out(self, sql: str, key: str, partitions: int) -> pa.Table:
        project, dataset, table, moment = _FROM.search(sql).groups()
        _, _, where = sql.partition("\nWHERE ")
        name = f"{project}.{dataset}.{table}"
        keys = self._rows(name, int(moment) if moment else None, where).column(key).to_pylist()
        named = sorted(value for value in keys if value is not None)
        last = len(named) - 1
        quantiles = (
            [named[last * n // partitions] for n in range(partitions + 1)] if named else None
        )
        keyless = sum(value in (None, "") for value in keys)
        row = {"row_count": len(keys), "keyless_count": keyless, "quantiles": quantiles}
        return pa.Table.from_pylist([row])

    def _rows(self, name: str, moment: int | None, where: str) -> pa.Table:
        """A table as it was then, without the rows that a condition leaves out."""
        if name not in self.states:
            raise BigQueryNotFoundError(f"{name} was not found")
        then = [rows for at, rows in self.states[name] if moment is None or at <= moment][-1]
        tests = [self._test(part) for part in where.split(" AND ") if part]
        if not tests:
            return then
        mask = [all(test(row) for test in tests) for row in then.to_pylist()]
        return then.filter(pa.array(mask, pa.bool_()))

    def _test(self, part: str) -> Callable[[dict[str, Any]], bool]:
        bare = part.strip().removeprefix("(\n").removesuffix("\n)")
        if found := _ONLY.fullmatch(bare):
            column, keys = found[1], ast.literal_eval(f"[{found[2][1:-1]}]")
            return lambda row: row[column] in keys
        return self.conditions[bare]

    def results(self, job: Job) -> Iterator[pa.RecordBatch]:
        return iter(self._answers[job.id].to_batches())

    def dry_run(self, statement: Statement) -> int:
        self._maybe_fail("dry_run")
        return self.bytes_billed

    def read_streams(self, table: TableName, read: Read) -> tuple[ReadStream, ...]:
        self._maybe_fail("read_streams")
        self.reads.append(read)
        rows = self._rows(str(table), read.snapshot_ms, read.where).select(list(read.columns))
        schema = rows.schema.serialize().to_pybytes()
        made = []
        for number in range(self.streams if rows.num_rows else 0):
            share = rows.take(pa.array(range(number, rows.num_rows, self.streams), pa.int64()))
            self._read.append((f"streams/{len(self._read)}", share))
            made.append(ReadStream(self._read[-1][0], table, schema))
        return tuple(made)

    def read_stream(self, stream: ReadStream, offset: int = 0) -> Iterator[pa.RecordBatch]:
        rows = dict(self._read)[stream.name].slice(offset)
        return iter(rows.combine_chunks().to_batches(max_chunksize=300))

    def _maybe_fail(self, method: str) -> None:
        if method in self.fails:
            raise self.fails[method]
