"""Nights of a migration into a BigQuery table: what is paid, what the table holds, the view."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.harness import (
    Done,
    Project,
    Remote,
    emulator,
    invoke,
    reembed,
    requests_of,
    start,
)
from reembed.bigquery import client
from reembed.bigquery.base import BigQuery, Read, Statement
from reembed.bigquery.names import TableName
from support.bigquery import PROJECT, BigQueryServer
from support.waiting import wait_until

pytestmark = [pytest.mark.bigquery, pytest.mark.slow]
COUNT = 200


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with emulator() as remote:
        yield remote


@pytest.fixture(scope="module")
def bigquery(bigquery_server: BigQueryServer) -> BigQuery:
    return client.open_bigquery_client(PROJECT)


class Migration:
    """A Parquet file of ids and texts that goes into a table each night."""

    def __init__(self, folder: Path, remote: Remote, table: TableName, **source: Any) -> None:
        self.remote, self.folder, self.table = remote, folder, table
        self.rows = {f"k{n:03}": f"Text number {n}." for n in range(COUNT)}
        self.destination: dict[str, Any] = {
            "table": str(table),
            "view": str(table.sibling("current")),
            "vector_index": "create",
        }
        parquet = {"files": ["table.parquet"], "key": "id", "text": "body"}
        self.source = {"files": [], "parquet": parquet, **source}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def project(self) -> Project:
        destination = {"text": True, "bigquery": self.destination}
        settings = {"source": self.source, "destination": destination, "model": {"dimensions": 128}}
        return Project(self.folder, self.remote.url, settings)

    def write(self) -> None:
        table = pa.table({"id": list(self.rows), "body": list(self.rows.values())})
        pq.write_table(table, self.folder / "table.parquet")

    def invoke(self, command: str, *arguments: object) -> Done:
        self.write()
        return invoke(command, self.project.config, *arguments)

    def paid(self) -> int:
        """Run, and return how many requests were paid, canaries left out."""
        before = {job["name"] for job in self.remote.jobs()}
        done = self.invoke("run", "--json")
        assert done.code == 0, done.err
        jobs = [job for job in self.remote.jobs() if job["name"] not in before]
        return sum(requests_of(job["total"]) for job in jobs)

    @property
    def published(self) -> dict[str, Any]:
        return dict(self.project.results().report["published"])


@pytest.fixture
def migration(tmp_path: Path, remote: Remote, bigquery_server: BigQueryServer) -> Migration:
    table = TableName(PROJECT, bigquery_server.make_dataset(), "vectors")
    return Migration(tmp_path / "m", remote, table, on_missing="delete")


def rows_of(bigquery: BigQuery, table: TableName) -> list[dict[str, Any]]:
    streams = bigquery.read_streams(table, Read())
    batches = (batch for stream in streams for batch in bigquery.read_stream(stream))
    rows = [row for batch in batches for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: (row["source_index"], row["offset"], row["part"]))


def texts_of(bigquery: BigQuery, table: TableName) -> dict[str, str]:
    """What a table holds, by key; each key once."""
    rows = rows_of(bigquery, table)
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: row["text"] for row in rows}


def test_nights_of_a_table(migration: Migration, bigquery: BigQuery) -> None:
    rows, table = migration.rows, migration.table
    assert migration.paid() == COUNT
    assert texts_of(bigquery, table) == rows
    assert migration.published["inserted"] == COUNT
    details = migration.published["details"]
    # The table has too few rows for an index, which is no failure.
    assert (details["made"], details["index"]["created"]) == (True, False)
    made = bigquery.table(table)
    assert made is not None
    assert made.clustering == ("key",)
    assert made.labels["reembed_model"] == "gemini-embedding-2"
    assert made.labels["reembed_state"] == "whole"
    assert "128 dimensions, task retrieval_document" in made.description
    embedding = made.column("embedding")
    assert embedding is not None
    assert embedding.sql_type == "ARRAY<FLOAT64>"
    # The vectors are those of the parts, value by value.
    part = {row["key"]: row["embedding"] for row in migration.project.results().rows()}
    assert {row["key"]: row["embedding"] for row in rows_of(bigquery, table)} == part

    # Nothing to do: no job, and it says so.
    done = migration.invoke("run", "--json")
    assert done.json()["already"]

    # A tenth of the rows is deleted: exactly those come back and are paid.
    lost = ", ".join(f"'k{n:03}'" for n in range(0, COUNT, 10))
    bigquery.query(Statement(f"DELETE FROM {table.sql} WHERE `key` IN ({lost})"))
    assert migration.paid() == COUNT // 10
    assert texts_of(bigquery, table) == rows
    assert (migration.published["inserted"], migration.published["replaced"]) == (20, 0)

    # A hundred are changed, two are gone, one has a text that another key has.
    for number in range(100):
        rows[f"k{number:03}"] = f"Changed {number}."
    del rows["k150"], rows["k151"]
    rows["twin"] = rows["k160"]
    assert migration.paid() == 100
    assert texts_of(bigquery, table) == rows
    told = migration.published
    assert (told["inserted"], told["replaced"], told["deleted"]) == (101, 100, 2)
    assert told["details"]["merge"]["estimated_bytes"] >= 0
    held = {row["key"]: row["embedding"] for row in rows_of(bigquery, table)}
    assert held["twin"] == held["k160"]
    # Nothing is left of what was in between.
    for run in {row["run"] for row in rows_of(bigquery, table)}:
        for suffix in ("", "_removed"):
            name = table.sibling(f"{table.table}_reembed_{run}_g0{suffix}")
            assert bigquery.table(name) is None


def test_another_model_is_refused_before_anything_is_paid(
    migration: Migration, bigquery: BigQuery
) -> None:
    migration.rows = {"a": "A text.", "b": "Another."}
    migration.paid()
    before = len(migration.remote.jobs())
    for options in (("--set", "model.dimensions=256"), ("--set", "model.task=clustering")):
        done = migration.invoke("run", *options)
        assert done.code == 2
        assert "spaces are incompatible" in done.err
    assert len(migration.remote.jobs()) == before
    missing = migration.invoke(
        "run", "--set", f"destination.bigquery.table={PROJECT}.nowhere.vectors"
    )
    assert missing.code == 2
    assert "bq mk --dataset" in missing.err
    assert len(migration.remote.jobs()) == before


def test_cut_over_and_back(migration: Migration, bigquery: BigQuery) -> None:
    migration.rows = {"a": "A text."}
    view = migration.table.sibling("current")
    assert migration.invoke("cutover").code == 2
    migration.paid()
    old = "SELECT 'old' AS `key`"
    bigquery.set_view(view, old, None)
    done = migration.invoke("cutover")
    assert done.code == 0, done.err
    assert f"CREATE OR REPLACE VIEW {view.sql} AS" in done.out
    found = bigquery.table(view)
    assert found is not None
    assert found.view_sql == f"SELECT * FROM {migration.table.sql}"
    assert migration.invoke("cutover", "--json").json()["already"]
    back = migration.invoke("rollback", "--json")
    assert (back.code, back.json()["after"]) == (0, old)
    migration.invoke("cutover")
    found = bigquery.table(view)
    assert found is not None
    bigquery.set_view(view, "SELECT 'mine' AS `key`", found.etag)
    for command in ("cutover", "rollback"):
        refused = migration.invoke(command)
        assert refused.code == 1
        assert "it says now: SELECT 'mine' AS `key`" in refused.err


def test_killed_while_it_loads_and_while_it_merges(
    migration: Migration, bigquery: BigQuery
) -> None:
    """The real process is killed by SIGKILL as soon as a table of the publication shows."""
    table = migration.table
    for night in range(2):
        for number in range(0, COUNT, 2):
            migration.rows[f"k{number:03}"] = f"Night {night}, number {number}."
        migration.write()
        _kill_when_begun(migration, bigquery, night + 1)
        before = len(migration.remote.jobs())
        done = reembed("run", migration.project.config)
        assert done.code == 0, done.err
        assert len(migration.remote.jobs()) == before
        assert texts_of(bigquery, table) == migration.rows


def _kill_when_begun(migration: Migration, bigquery: BigQuery, commit: int) -> None:
    """The first publication shows by its table, the next by the record before its MERGE."""
    record = migration.project.run_dir / "ledger" / "runs" / f"{commit:04}" / "merge.g0"
    process = start("run", migration.project.config)
    wait_until(
        lambda: record.exists() if commit > 1 else bigquery.table(migration.table),
        "it publishes",
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
