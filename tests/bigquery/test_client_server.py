"""Tables, views, jobs and reads on the local server, where it can be had."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.bigquery.base import (
    BigQuery,
    Field,
    Load,
    NewTable,
    Read,
    Statement,
    TablePartitioning,
)
from reembed.bigquery.names import TableName
from reembed.core.schema import ROW
from reembed.errors import (
    BigQueryConflictError,
    BigQueryNotFoundError,
    JobFailedError,
    StatementRefusedError,
)
from support.bigquery import BigQueryServer
from support.gcs import GcsServer
from support.waiting import DEADLINE

pytestmark = pytest.mark.bigquery

FIELDS = (
    Field("key", "STRING", "REQUIRED"),
    Field("part", "INT64", "REQUIRED"),
    Field("end", "FLOAT64"),
    Field("embedding", "FLOAT64", "REPEATED"),
    Field("embedded_at", "TIMESTAMP"),
)
ARROW = pa.schema([ROW.field(field.name) for field in FIELDS])


def write_parts(path: Path, keys: list[str]) -> Path:
    rows = [
        {"key": key, "part": 0, "end": None, "embedding": [0.5, float(at)], "embedded_at": at}
        for at, key in enumerate(keys)
    ]
    pq.write_table(pa.Table.from_pylist(rows, ARROW), path)
    return path


def keys_in(bigquery: BigQuery, table: TableName) -> list[str]:
    job = bigquery.query(Statement(f"SELECT `key` FROM {table.sql} ORDER BY `key`"))
    return [key for batch in bigquery.results(job) for key in batch["key"].to_pylist()]


def test_a_table_is_described_as_it_was_made(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    assert bigquery.table(name) is None
    parts = TablePartitioning("embedded_at", "DAY")
    expires = 4_000_000_000_000
    new = NewTable(FIELDS, ("key",), parts, "vectors", {"model": "m-2"}, expires)
    assert bigquery.create_table(name, new) is True
    assert bigquery.create_table(name, new) is False
    table = bigquery.table(name)
    assert table is not None
    assert (table.name, table.kind, table.rows, table.location) == (name, "TABLE", 0, "US")
    assert table.fields == FIELDS
    assert (table.clustering, table.partition) == (("key",), parts)
    assert (table.description, table.labels, table.expires_ms) == (
        "vectors",
        {"model": "m-2"},
        expires,
    )
    assert table.created_ms > 1_700_000_000_000
    assert table.column("KEY") == FIELDS[0]
    assert table.column("none") is None
    assert bigquery.location(name) == "US"
    with pytest.raises(BigQueryNotFoundError, match="nowhere"):
        bigquery.location(TableName("test", "nowhere", "items"))
    bigquery.delete_table(name)
    bigquery.delete_table(name)
    assert bigquery.table(name) is None


def test_labels_are_added_and_a_stale_etag_is_refused(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("items")
    bigquery.create_table(name, NewTable(FIELDS, labels={"model": "m-2"}))
    seen = bigquery.table(name)
    assert seen is not None
    now = bigquery.update_table(name, labels={"run": "r1"}, description="new", etag=seen.etag)
    assert now.labels == {"model": "m-2", "run": "r1"}
    assert now.description == "new"
    with pytest.raises(BigQueryConflictError, match="it was changed meanwhile"):
        bigquery.update_table(name, labels={"run": "r2"}, etag=seen.etag)


def test_a_view_is_swapped_only_by_who_saw_its_last_state(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    name = bigquery_server.table("current")
    seen = bigquery.set_view(name, "SELECT 0 AS n", None)
    assert (seen.kind, seen.view_sql) == ("VIEW", "SELECT 0 AS n")
    with pytest.raises(BigQueryConflictError, match="the name is taken"):
        bigquery.set_view(name, "SELECT 1 AS n", None)
    now = bigquery.set_view(name, "SELECT 1 AS n", seen.etag)
    with pytest.raises(BigQueryConflictError, match="it was changed meanwhile"):
        bigquery.set_view(name, "SELECT 2 AS n", seen.etag)
    assert bigquery.table(name) == now


def test_a_load_is_done_once_whoever_asks(
    bigquery: BigQuery, bigquery_server: BigQueryServer, tmp_path: Path
) -> None:
    name = bigquery_server.table("items")
    path = write_parts(tmp_path / "part.parquet", ["a", "b"])
    # A table that a load makes here has no REQUIRED columns, unlike the service's.
    bigquery.create_table(name, NewTable(FIELDS))
    load = Load(name, FIELDS, path, "WRITE_APPEND", labels={"run": "r1"})
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: bigquery.load(load, f"load-{name.dataset}"), range(4)))
    assert {job.rows for job in jobs} == {2}
    assert keys_in(bigquery, name) == ["a", "b"]
    table = bigquery.table(name)
    assert table is not None
    assert table.fields == FIELDS
    found = bigquery.job(f"load-{name.dataset}")
    assert found is not None
    assert (found.kind, found.state, found.labels) == ("load", "DONE", {"run": "r1"})


def test_a_load_that_fails_loads_nothing_and_keeps_its_id(
    bigquery: BigQuery, bigquery_server: BigQueryServer, tmp_path: Path
) -> None:
    name = bigquery_server.table("items")
    bigquery.create_table(name, NewTable(FIELDS))
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"no Parquet")
    load = Load(name, FIELDS, bad, "WRITE_APPEND")
    for words in ("failed: Error while reading", "had failed already: Error while reading"):
        with pytest.raises(JobFailedError, match=words):
            bigquery.load(load, f"bad-{name.dataset}")
    assert keys_in(bigquery, name) == []


@pytest.mark.gcs
def test_files_on_cloud_storage_are_loaded_by_name_and_by_pattern(
    bigquery: BigQuery,
    bigquery_server: BigQueryServer,
    gcs_server: GcsServer,
    tmp_path: Path,
) -> None:
    from reembed.storage.gcs import GcsStorage

    name = bigquery_server.table("items")
    storage = GcsStorage(gcs_server.url)
    folder = f"gs://tests/load-{name.dataset}"
    for key in ("a", "b", "c"):
        local = write_parts(tmp_path / f"{key}.parquet", [key])
        storage.publish(local, f"{folder}/{key}.parquet")
    listed = (f"{folder}/a.parquet", f"{folder}/b.parquet")
    assert bigquery.load(Load(name, FIELDS, listed), f"l-{name.dataset}").rows == 2
    more = Load(name, FIELDS, (f"{folder}/c*.parquet",), "WRITE_APPEND")
    bigquery.load(more, f"m-{name.dataset}")
    assert keys_in(bigquery, name) == ["a", "b", "c"]


def test_a_copy_is_made_once_and_never_over_rows(
    bigquery: BigQuery, bigquery_server: BigQueryServer, tmp_path: Path
) -> None:
    name = bigquery_server.table("staging")
    path = write_parts(tmp_path / "part.parquet", ["a", "b"])
    bigquery.load(Load(name, FIELDS, path), f"load-{name.dataset}")
    dest = name.sibling("items")
    bigquery.create_table(dest, NewTable(FIELDS, ("key",), labels={"model": "m-2"}))
    for _ in range(2):
        assert bigquery.copy(name, dest, f"copy-{name.dataset}", {}).kind == "copy"
    table = bigquery.table(dest)
    assert table is not None
    assert (table.clustering, table.labels) == (("key",), {"model": "m-2"})
    with pytest.raises(BigQueryConflictError, match="duplicate"):
        bigquery.copy(name, dest, f"over-{name.dataset}", {})
    assert keys_in(bigquery, dest) == ["a", "b"]


def test_wrong_statements_are_refused_in_words(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    missing = bigquery_server.table("missing")
    for run in (bigquery.query, bigquery.dry_run):
        with pytest.raises(StatementRefusedError, match="SELEC"):
            run(Statement("SELEC 1"))
        with pytest.raises(BigQueryNotFoundError, match="missing was not found"):
            run(Statement(f"SELECT * FROM {missing.sql}"))
    with pytest.raises(BigQueryNotFoundError, match="missing: cannot open a read session"):
        bigquery.read_streams(missing, Read())


def read_all(bigquery: BigQuery, table: TableName, read: Read) -> list[dict[str, Any]]:
    streams = pickle.loads(pickle.dumps(bigquery.read_streams(table, read)))
    batches = (batch for stream in streams for batch in bigquery.read_stream(stream))
    return [row for batch in batches for row in batch.to_pylist()]


def test_a_table_is_read_by_columns_and_condition(
    bigquery: BigQuery, bigquery_server: BigQueryServer, tmp_path: Path
) -> None:
    name = bigquery_server.table("items")
    path = write_parts(tmp_path / "part.parquet", ["a", "b", "c"])
    bigquery.load(Load(name, FIELDS, path), f"load-{name.dataset}")
    found = read_all(bigquery, name, Read(("key", "embedding"), "`key` > 'a' AND part = 0"))
    expected = [{"key": "b", "embedding": [0.5, 1.0]}, {"key": "c", "embedding": [0.5, 2.0]}]
    assert sorted(found, key=lambda row: str(row["key"])) == expected
    with pytest.raises(StatementRefusedError, match="nope"):
        bigquery.read_streams(name, Read(("key",), "nope = 1"))
    assert read_all(bigquery, name, Read(("key",), "part > 7")) == []


def test_what_a_query_found_is_read_from_its_destination(
    bigquery: BigQuery, bigquery_server: BigQueryServer
) -> None:
    job = bigquery.query(Statement("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 5)) AS n"))
    assert job.destination is not None
    assert sorted(row["n"] for row in read_all(bigquery, job.destination, Read())) == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_another_process_reads_a_stream_without_being_told_more(
    bigquery: BigQuery, bigquery_server: BigQueryServer, tmp_path: Path
) -> None:
    name = bigquery_server.table("items")
    path = write_parts(tmp_path / "part.parquet", ["a", "b", "c"])
    bigquery.load(Load(name, FIELDS, path), f"load-{name.dataset}")
    (stream,) = bigquery.read_streams(name, Read(("key",)))
    code = (
        "import pickle, sys\n"
        "bigquery, stream = pickle.load(sys.stdin.buffer)\n"
        "print(sum(batch.num_rows for batch in bigquery.read_stream(stream)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((bigquery, stream)),
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    assert done.stdout == b"3\n"
