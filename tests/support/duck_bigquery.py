"""BigQuery in memory, on DuckDB: our own statements, translated word by word, really run.

It checks nothing that BigQuery checks beyond what DuckDB does. Jobs can be told to fail.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from reembed.bigquery.base import Field, Job, Load, NewTable, Read, ReadStream, Statement, Table
from reembed.bigquery.names import TableName
from reembed.errors import (
    BigQueryConflictError,
    BigQueryNotFoundError,
    JobFailedError,
    StatementRefusedError,
)

_NAME = re.compile(r"`([^`]+)`\.`([^`]+)`\.`([^`]+)`")
_WORDS = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "TIMESTAMP": "TIMESTAMPTZ",
    "LOGICAL_OR": "bool_or",
}


@dataclass
class DuckBigQuery:
    """`failing` holds words: the next job whose id has one of them fails for that reason."""

    datasets: set[str] = field(default_factory=lambda: {"data"})
    tables: dict[TableName, Table] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    failing: deque[tuple[str, str]] = field(default_factory=deque)
    estimate: int = 0

    def __post_init__(self) -> None:
        self._duck = duckdb.connect()
        self._duck.execute("SET TimeZone = 'UTC'")
        self._ticks = 0

    def table(self, name: TableName) -> Table | None:
        found = self.tables.get(name)
        if found is None or found.kind != "TABLE":
            return found
        [(rows,)] = self._do(f'SELECT COUNT(*) FROM "{name}"')
        return replace(found, rows=rows)

    def location(self, name: TableName) -> str:
        if name.dataset not in self.datasets:
            raise BigQueryNotFoundError(f"{name.project}.{name.dataset} was not found")
        return "US"

    def create_table(self, name: TableName, new: NewTable) -> bool:
        self.location(name)
        if name in self.tables:
            return False
        columns = ", ".join(f'"{f.name}" {_column(f)}' for f in new.fields)
        self._do(f'CREATE TABLE "{name}" ({columns})')
        now = self._tick()
        labels, described = dict(new.labels), new.description
        self.tables[name] = Table(
            name, "TABLE", new.fields, 0, 0, str(now), "US", described, labels, new.clustering,
            new.partition, now, now, new.expires_ms,
        )  # fmt: skip
        return True

    def delete_table(self, name: TableName) -> None:
        found = self.tables.pop(name, None)
        if found is not None and found.kind == "TABLE":
            self._do(f'DROP TABLE "{name}"')

    def update_table(
        self,
        name: TableName,
        *,
        labels: Mapping[str, str] | None = None,
        description: str | None = None,
        etag: str = "",
    ) -> Table:
        found = self._known(name)
        if etag and etag != found.etag:
            raise BigQueryConflictError(f"{name} was changed meanwhile")
        said = found.description if description is None else description
        found = replace(found, labels={**found.labels, **(labels or {})}, description=said)
        self.tables[name] = found
        self._touch(name)
        return self.tables[name]

    def set_view(self, name: TableName, sql: str, etag: str | None) -> Table:
        found = self.tables.get(name)
        if found is not None and found.view_sql == sql:
            return found
        if (found.etag if found is not None else None) != etag:
            raise BigQueryConflictError(f"{name} was changed meanwhile")
        now = self._tick()
        self.tables[name] = Table(name, "VIEW", (), 0, 0, str(now), "US", view_sql=sql)
        return self.tables[name]

    def copy(
        self, source: TableName, dest: TableName, job_id: str, labels: Mapping[str, str]
    ) -> Job:
        def copied() -> dict[str, Any]:
            known = self.table(dest)
            if known is None or known.rows:
                raise BigQueryConflictError(f"{dest} holds rows")
            self._known(source)
            self._do(f'INSERT INTO "{dest}" SELECT * FROM "{source}"')
            self._touch(dest)
            return {}

        return self._run("copy", job_id, copied)

    def load(self, load: Load, job_id: str) -> Job:
        def loaded() -> dict[str, Any]:
            self._known(load.table)
            assert isinstance(load.source, Path)
            self.loads.append(load)
            select = f"SELECT * FROM read_parquet('{load.source}')"
            self._do(f'INSERT INTO "{load.table}" BY NAME {select}')
            return {}

        return self._run("load", job_id, loaded)

    def query(self, statement: Statement, job_id: str = "") -> Job:
        job_id = job_id or f"anonymous-{self._tick()}"
        return self._run("query", job_id, lambda: self._ran(statement))

    def _ran(self, statement: Statement) -> dict[str, Any]:
        self.statements.append(statement)
        if "VECTOR INDEX" in statement.sql:
            raise StatementRefusedError("Total rows 3 is smaller than min allowed 5000")
        sql = _translated(statement.sql)
        params = {p.name: list(p.value) if isinstance(p.value, tuple) else p.value
                  for p in statement.params}  # fmt: skip
        if sql.startswith("MERGE"):
            actions = self._do(sql + " RETURNING merge_action")
            self._touch(TableName(*_NAME.search(statement.sql).groups()))
            words = [action for (action,) in actions]
            return {"inserted": words.count("INSERT"), "deleted": words.count("DELETE")}
        if not sql.startswith("SELECT"):
            self.execute(statement.sql)
            return {}
        name = TableName("test", "anonymous", f"t{self._tick()}")
        self._do(f'CREATE TABLE "{name}" AS {sql}', params or None)
        self.tables[name] = Table(name, "TABLE", (), 0, 0, "", "US")
        return {"destination": name}

    def results(self, job: Job) -> Iterator[pa.RecordBatch]:
        yield from self._arrow(f'SELECT * FROM "{job.destination}"').to_batches()

    def dry_run(self, statement: Statement) -> int:
        self._do("EXPLAIN " + _translated(statement.sql))
        return self.estimate

    def job(self, job_id: str, location: str = "") -> Job | None:
        return self.jobs.get(job_id)

    def read_streams(self, table: TableName, read: Read) -> tuple[ReadStream, ...]:
        self._known(table)
        names = ", ".join(f'"{name}"' for name in read.columns) or "*"
        where = f" WHERE {_translated(read.where)}" if read.where else ""
        return (ReadStream(f'SELECT {names} FROM "{table}"{where}', table, b""),)

    def read_stream(self, stream: ReadStream, offset: int = 0) -> Iterator[pa.RecordBatch]:
        yield from self._arrow(stream.name).to_batches()

    def rows(self, name: TableName) -> list[dict[str, Any]]:
        """All rows of a table, in the order of the input."""
        order = "source_index, key, part, content_hash"
        return list(self._arrow(f'SELECT * FROM "{name}" ORDER BY {order}').to_pylist())

    def execute(self, sql: str) -> None:
        """Do to a table what somebody else would."""
        self._do(_translated(sql))
        for name in list(self.tables):
            if name.sql in sql:
                self._touch(name)

    def _do(self, sql: str, params: Any = None) -> list[Any]:
        # A result that is not read to its end keeps the connection busy.
        return self._duck.execute(sql, params).fetchall()

    def _arrow(self, sql: str) -> pa.Table:
        return self._duck.sql(sql).to_arrow_table()

    def _run(self, kind: str, job_id: str, act: Any) -> Job:
        known = self.jobs.get(job_id)
        if known is not None and known.failed:
            raise JobFailedError(f"job {job_id} had failed already", job_id, known.reason)
        if known is not None:
            return known
        if self.failing and self.failing[0][0] in job_id:
            _, reason = self.failing.popleft()
            self.jobs[job_id] = Job(job_id, kind, "DONE", "US", reason, "told to")
            raise JobFailedError(f"job {job_id} failed: told to", job_id, reason)
        self.jobs[job_id] = Job(job_id, kind, "DONE", "US", **act())
        return self.jobs[job_id]

    def _known(self, name: TableName) -> Table:
        if name not in self.tables:
            raise BigQueryNotFoundError(f"{name} was not found")
        return self.tables[name]

    def _touch(self, name: TableName) -> None:
        now = self._tick()
        self.tables[name] = replace(self.tables[name], etag=str(now), modified_ms=now)

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks


class Killed(BaseException):
    """The process was killed, as far as the code under test can tell."""


class Dying:
    """BigQuery in which a process is killed, right after its operation number `after`."""

    def __init__(self, bigquery: DuckBigQuery, after: int) -> None:
        self._bigquery, self._left = bigquery, after

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._bigquery, name)

        def act(*args: Any, **kwargs: Any) -> Any:
            done = inner(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                raise Killed(name)
            return done

        return act


def _column(column: Field) -> str:
    kind = _translated(column.sql_type)
    return kind + (" NOT NULL" if column.mode == "REQUIRED" else "")


def _translated(sql: str) -> str:
    sql = _NAME.sub(r'"\1.\2.\3"', sql)
    sql = re.sub(r"(\S+) IN UNNEST\(([^()]+)\)", r"list_contains(\2, \1)", sql)
    sql = sql.replace("`", '"').replace("@keys", "$keys")
    sql = re.sub(r"\bARRAY<(\w+)>", r"\1[]", sql)
    for word, other in _WORDS.items():
        sql = re.sub(rf"\b{word}\b", other, sql)
    return re.sub(r"\bMERGE ", "MERGE INTO ", sql)
