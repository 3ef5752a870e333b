"""A table on the local BigQuery server to vectors, night after night, where it can be had."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.harness import Done, Project, Remote, invoke, reembed, requests_of
from reembed.bigquery.base import BigQuery, Field, Load, NewTable, Statement
from reembed.bigquery.client import open_bigquery_client
from reembed.bigquery.names import TableName
from reembed.core.names import PARTITION_ITEMS
from support.bigquery import PROJECT, BigQueryServer

pytestmark = pytest.mark.bigquery

TEXT_KEYS = (Field("id", "STRING"), Field("body", "STRING"), Field("n", "INT64"))
_jobs = itertools.count()
Rows = dict[Any, str | None]


class Migration:
    """A table of ids and texts, and a configuration that reads it."""

    def __init__(
        self, folder: Path, remote: Remote, name: TableName, fields: tuple[Field, ...] = TEXT_KEYS
    ) -> None:
        self.folder, self.remote, self.name, self.fields = folder, remote, name, fields
        self.bigquery: BigQuery = open_bigquery_client(PROJECT)

    def fill(self, ids: list[Any], texts: list[str | None]) -> None:
        """Make the table anew with these rows."""
        kind = pa.string() if self.fields[0].type == "STRING" else pa.int64()
        columns = {
            "id": pa.array(ids, kind),
            "body": pa.array(texts, pa.string()),
            "n": pa.array(range(len(ids)), pa.int64()),
        }
        path = self.folder / "rows.parquet"
        pq.write_table(pa.table(columns), path)
        self.bigquery.create_table(self.name, NewTable(self.fields))
        job = f"fill-{self.name.dataset}-{next(_jobs)}"
        self.bigquery.load(Load(self.name, self.fields, path, "WRITE_TRUNCATE"), job)

    def sql(self, statement: str) -> None:
        self.bigquery.query(Statement(statement.format(table=self.name.sql)))

    def project(self, sample: int | None = None, **said: Any) -> Project:
        origin = {} if "query" in said else {"table": str(self.name)}
        columns = {"key": "id", "text": "body"}
        bigquery = {**origin, **columns, **said}
        source = {"files": [], "bigquery": bigquery, "sample": sample}
        return Project(self.folder, self.remote.url, {"source": source})

    def run(self, **said: Any) -> tuple[Done, int]:
        """Run; how it ended, and how many requests were paid, canaries left out."""
        before = {job["name"] for job in self.remote.jobs()}
        done = invoke("run", self.project(**said).config, "--json")
        jobs = [job for job in self.remote.jobs() if job["name"] not in before]
        return done, sum(requests_of(job["total"]) for job in jobs)

    def paid(self, **said: Any) -> int:
        done, paid = self.run(**said)
        assert done.code == 0, done.err
        return paid

    def rows(self) -> list[dict[str, Any]]:
        return self.project().results().rows()


@pytest.fixture
def migration(
    tmp_path: Path, remote: Remote, bigquery_server: BigQueryServer
) -> Callable[..., Migration]:
    def make(*fields: Field) -> Migration:
        return Migration(
            tmp_path, remote, bigquery_server.table("items"), (*fields, *TEXT_KEYS[len(fields) :])
        )

    return make


def words(number: int) -> str:
    return f"Text number {number} of a table."


def test_nights_of_a_table_of_texts(migration: Callable[..., Migration]) -> None:
    table = migration()
    keys = [f"k{n * 77 % 300:03}" for n in range(300)]
    table.fill(keys, [words(n) for n in range(300)])
    assert table.paid() == 300
    rows = table.rows()
    assert [row["key"] for row in rows] == sorted(keys)
    assert [(row["source_index"], row["offset"]) for row in rows] == [(0, n) for n in range(300)]
    assert {row["key"]: row["text"] for row in rows} == {k: words(n) for n, k in enumerate(keys)}
    assert {row["source_uri"] for row in rows} == {str(table.name)}
    # Nothing to do, then a changed and a new row.
    assert table.run()[0].json()["already"]
    table.sql("UPDATE {table} SET body = 'changed' WHERE id = 'k007'")
    table.sql("INSERT INTO {table} (id, body) VALUES ('k0075', 'new')")
    assert table.paid() == 2
    found = {row["key"]: (row["text"], row["offset"]) for row in table.rows()}
    assert found["k007"] == ("changed", 7)
    assert found["k0075"] == ("new", 8)
    assert len(found) == 301
    # A row of which only letters change is seen, even after a night of nothing.
    assert table.paid() == 0
    table.sql("UPDATE {table} SET body = 'CHANGED' WHERE id = 'k007'")
    assert table.paid() == 1


def test_integers_are_in_their_own_order(migration: Callable[..., Migration]) -> None:
    table = migration(Field("id", "INT64"))
    table.fill([100, 9, -5, 10], [words(n) for n in range(4)])
    assert table.paid() == 4
    assert [row["key"] for row in table.rows()] == ["-5", "9", "10", "100"]
    assert [row["offset"] for row in table.rows()] == [-5, 9, 10, 100]


def test_more_rows_than_a_partition_are_shared_out(migration: Callable[..., Migration]) -> None:
    table, count = migration(), PARTITION_ITEMS + 500
    keys = [f"k{n * 7919 % count:05}" for n in range(count)]
    table.fill(keys, [f"t {n % 40}" for n in range(count)])
    done = invoke("plan", table.project().config, "--json")
    assert done.code == 0, done.err
    shards = sorted((table.folder / "run").glob("plans/*/shards/*.parquet"))
    assert {path.name[:8] for path in shards} == {"00000000", "00000001"}
    found = [key for path in shards for key in pq.read_table(path).column("key").to_pylist()]
    assert found == sorted(keys)


def test_two_processes_read_for_themselves(migration: Callable[..., Migration]) -> None:
    table = migration()
    table.fill(["b", "a"], [words(1), words(2)])
    two = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    done = reembed("run", table.project().config, "--", *two)
    assert done.code == 0, done.err
    assert [row["key"] for row in table.rows()] == ["a", "b"]


def test_rows_without_key_or_text_and_a_text_of_five_megabytes(
    migration: Callable[..., Migration],
) -> None:
    table = migration()
    table.fill(["a", None, "c", "", "e"], ["x", "y", None, "z", "word " * 1_000_000])
    done = invoke("plan", table.project().config, "--json")
    assert done.code == 0, done.err
    shards = (table.folder / "run").glob("plans/*/shards/*.parquet")
    rows = [row for path in shards for row in pq.read_table(path).to_pylist()]
    codes = {(row["key"], row["reject_code"]) for row in rows}
    name = table.name
    lost = {("c", "no_content"), (f"{name}#0", "no_key"), (f"{name}#1", "no_key")}
    assert codes == {("a", None), ("e", None), *lost}
    assert sum(len(row["text"]) for row in rows if row["key"] == "e") >= 4_900_000


def test_doubled_keys_are_refused_before_anything_is_paid(
    migration: Callable[..., Migration],
) -> None:
    table = migration()
    table.fill(["a", "b", "a"], ["x", "y", "z"])
    done, paid = table.run()
    assert (done.code, paid) == (2, 0)
    assert "1 keys came more than once" in done.err
    assert "'a' (2 times)" in done.err


def test_a_condition_a_sample_then_all(migration: Callable[..., Migration]) -> None:
    table = migration()
    table.fill([f"k{n:02}" for n in range(30)], [words(n) for n in range(30)])
    assert table.paid(where="n < 10") == 10
    assert table.paid(sample=5) <= 5
    held = len(table.rows())
    assert table.paid() == 30 - held
    assert sorted(row["key"] for row in table.rows()) == [f"k{n:02}" for n in range(30)]


def test_a_query_and_a_view(migration: Callable[..., Migration]) -> None:
    table = migration()
    table.fill(["a", "b", "c"], ["x", "y", "z"])
    query = f"SELECT CONCAT('q', id) AS id, body FROM {table.name.sql} WHERE n > 0;"
    assert table.paid(query=query, project=PROJECT) == 2
    assert [row["key"] for row in table.rows()] == ["qb", "qc"]
    view = table.name.sibling("seen")
    table.bigquery.set_view(view, f"SELECT id, body FROM {table.name.sql}", None)
    assert table.paid(table=str(view)) == 1  # y and z are held under other keys
    assert sorted(row["key"] for row in table.rows()) == ["a", "b", "c", "qb", "qc"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"text": "nope"}, "has no column 'nope'; it has id, body, n"),
        ({"text": "n"}, "column 'n' is INT64; give a column of STRING"),
        ({"where": "nope > 1"}, "nope"),
        ({"table": "test.nowhere.items"}, "test.nowhere.items is not there"),
        ({"query": "SELECT id FROM nowhere.items", "project": PROJECT}, "nowhere"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(
    migration: Callable[..., Migration], said: dict[str, Any], expected: str
) -> None:
    table = migration()
    table.fill(["a"], ["x"])
    done, paid = table.run(**said)
    assert (done.code, paid) == (2, 0), done.err
    assert expected in done.err
    assert "Traceback" not in done.err


def test_the_doctor_looks_at_the_table(migration: Callable[..., Migration]) -> None:
    table = migration()
    table.fill(["a"], ["x"])
    done = invoke("doctor", table.project().config)
    assert f"1 rows in {table.name}" in done.out
    assert "at BigQuery" in done.out
