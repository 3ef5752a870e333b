"""What is sent to BigQuery, above all where the local server would not notice a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reembed.bigquery.base import Field, Load, NewTable, Param, Statement, TablePartitioning
from reembed.bigquery.names import TableName
from reembed.errors import (
    BigQueryConflictError,
    BigQueryNotFoundError,
    StatementRefusedError,
    UsageError,
)
from support.scripted_http import Answer, refusal

T = TableName("my-project", "data", "items")
FIELDS = (
    Field("key", "STRING", "REQUIRED", description="the item"),
    Field("part", "INT64", "REQUIRED"),
    Field("embedding", "FLOAT64", "REPEATED"),
    Field("at", "STRUCT", fields=(Field("start", "FLOAT64"), Field("ok", "BOOL"))),
)
SCHEMA = [
    {"name": "key", "type": "STRING", "mode": "REQUIRED", "description": "the item"},
    {"name": "part", "type": "INTEGER", "mode": "REQUIRED"},
    {"name": "embedding", "type": "FLOAT", "mode": "REPEATED"},
    {
        "name": "at",
        "type": "RECORD",
        "mode": "NULLABLE",
        "fields": [
            {"name": "start", "type": "FLOAT", "mode": "NULLABLE"},
            {"name": "ok", "type": "BOOLEAN", "mode": "NULLABLE"},
        ],
    },
]
REFERENCE = {"projectId": "my-project", "datasetId": "data"}
DATASET = Answer({"datasetReference": REFERENCE, "location": "EU"})


def job(kind: str, state: str = "DONE", job_id: str = "j1", **more: Any) -> Answer:
    result = more.pop("error", None)
    status = {"state": state} | ({"errorResult": result} if result else {})
    table = {"projectId": "my-project", "datasetId": "data", "tableId": "items"}
    configuration: dict[str, Any] = {"jobType": kind.upper(), kind: {"destinationTable": table}}
    if kind == "query":
        configuration[kind]["query"] = "SELECT 1"
    elif kind == "copy":
        configuration[kind]["sourceTables"] = [table]
    reference = {"projectId": "pays", "jobId": job_id, "location": "EU"}
    statistics = {kind: more}
    return Answer(
        {
            "jobReference": reference,
            "configuration": configuration,
            "status": status,
            "statistics": statistics,
        }
    )


def schema_of(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in column.items() if value != []} for column in sent]


def test_a_load_infers_lists_and_says_the_whole_schema(scripted: Any) -> None:
    done = job("load", outputRows="7", inputFileBytes="900")
    bigquery, http = scripted(DATASET, done)
    uris = ("gs://bucket/run/part-0.parquet", "gs://bucket/run/part-1.parquet")
    load = Load(T, FIELDS, uris, "WRITE_APPEND", clustering=("key",), labels={"run": "r1"})
    loaded = bigquery.load(load, "reembed-r1-load-0")
    sent = http.sent[1]
    assert (sent.method, sent.path) == ("POST", "/bigquery/v2/projects/pays/jobs")
    assert sent.json["jobReference"] == {
        "jobId": "reembed-r1-load-0",
        "projectId": "pays",
        "location": "EU",
    }
    assert sent.json["configuration"]["labels"] == {"run": "r1"}
    config = sent.json["configuration"]["load"]
    assert config.pop("parquetOptions") == {"enableListInference": True}
    assert schema_of(config.pop("schema")["fields"]) == SCHEMA
    assert config == {
        "sourceFormat": "PARQUET",
        "sourceUris": list(uris),
        "destinationTable": {"projectId": "my-project", "datasetId": "data", "tableId": "items"},
        "createDisposition": "CREATE_IF_NEEDED",
        "writeDisposition": "WRITE_APPEND",
        "clustering": {"fields": ["key"]},
    }
    assert (loaded.rows, loaded.size, loaded.location, loaded.destination) == (7, 900, "EU", T)


def test_an_upload_says_the_same_and_is_not_begun_for_a_known_job(
    scripted: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    place = {"Location": "http://bigquery.invalid/upload/here"}
    bigquery, http = scripted(
        DATASET, refusal(404, "notFound"), Answer({}, headers=place), job("load")
    )
    bigquery.load(Load(T, FIELDS, path), "j1")
    begun, uploaded = http.sent[2:]
    assert begun.path == "/upload/bigquery/v2/projects/pays/jobs"
    config = begun.json["configuration"]["load"]
    assert config["parquetOptions"] == {"enableListInference": True}
    assert config["writeDisposition"] == "WRITE_EMPTY"
    assert schema_of(config["schema"]["fields"]) == SCHEMA
    assert begun.json["jobReference"]["location"] == "EU"
    assert uploaded.body == b"PAR1"

    bigquery, http = scripted(DATASET, job("load"))
    bigquery.load(Load(T, FIELDS, path), "j1")
    assert [sent.method for sent in http.sent] == ["GET", "GET"]


def test_too_many_files_and_none_are_refused_before_a_job(scripted: Any) -> None:
    for count in (0, 10_001):
        bigquery, http = scripted(DATASET)
        uris = tuple(f"gs://b/{number}" for number in range(count))
        with pytest.raises(StatementRefusedError, match=f"{count} files; a load job takes 1 to"):
            bigquery.load(Load(T, FIELDS, uris), "j1")
        assert len(http.sent) == 1


def test_a_copy_keeps_what_is_there(scripted: Any) -> None:
    bigquery, http = scripted(DATASET, job("copy"))
    bigquery.copy(T, T.sibling("copy"), "j1", {"run": "r1"})
    config = http.sent[1].json["configuration"]
    assert config["labels"] == {"run": "r1"}
    assert config["copy"]["writeDisposition"] == "WRITE_EMPTY"
    assert config["copy"]["destinationTable"]["tableId"] == "copy"
    assert config["copy"]["sourceTables"][0]["tableId"] == "items"


def test_a_query_says_parameters_labels_location_and_its_bound(scripted: Any) -> None:
    bigquery, http = scripted(job("query"))
    params = (Param("since", "INT64", 3), Param("keys", "STRING", ("a", "b")))
    statement = Statement("SELECT @since", params, {"run": "r1"}, "EU", max_bytes=10**12)
    bigquery.query(statement, "j1")
    sent = http.sent[0].json
    assert sent["jobReference"] == {"jobId": "j1", "projectId": "pays", "location": "EU"}
    assert sent["configuration"]["labels"] == {"run": "r1"}
    config = sent["configuration"]["query"]
    assert config["useLegacySql"] is False
    assert config["maximumBytesBilled"] == "1000000000000"
    since, keys = config["queryParameters"]
    assert since["parameterValue"] == {"value": "3"}
    assert keys["parameterType"] == {"type": "ARRAY", "arrayType": {"type": "STRING"}}


def test_a_query_without_a_bound_sends_none(scripted: Any) -> None:
    bigquery, http = scripted(job("query"))
    bigquery.query(Statement("SELECT 1"), "j1")
    assert "maximumBytesBilled" not in http.sent[0].json["configuration"]["query"]


def test_a_dry_run_neither_runs_nor_trusts_the_cache(scripted: Any) -> None:
    answer = job("query", totalBytesProcessed="12345")
    bigquery, http = scripted(answer)
    assert bigquery.dry_run(Statement("SELECT 1")) == 12345
    config = http.sent[0].json["configuration"]
    assert config["dryRun"] is True
    assert config["query"]["useQueryCache"] is False


def test_a_new_table_says_all_that_was_asked_for(scripted: Any) -> None:
    bigquery, http = scripted(Answer({"tableReference": REFERENCE | {"tableId": "items"}}))
    parts = TablePartitioning("part", "RANGE", 0, 100, 10)
    new = NewTable(FIELDS, ("key",), parts, "vectors", {"run": "r1"}, 1_800_000_000_000)
    assert bigquery.create_table(T, new) is True
    sent = http.sent[0]
    assert (sent.method, sent.path) == (
        "POST",
        "/bigquery/v2/projects/my-project/datasets/data/tables",
    )
    assert schema_of(sent.json["schema"]["fields"]) == SCHEMA
    assert sent.json["clustering"] == {"fields": ["key"]}
    assert sent.json["rangePartitioning"] == {
        "field": "part",
        "range": {"start": "0", "end": "100", "interval": "10"},
    }
    assert sent.json["description"] == "vectors"
    assert sent.json["labels"] == {"run": "r1"}
    assert sent.json["expirationTime"] == "1800000000000"


def test_a_view_is_changed_only_where_it_is_what_was_seen(scripted: Any) -> None:
    described = {
        "tableReference": {"projectId": "my-project", "datasetId": "data", "tableId": "items"},
        "type": "VIEW",
        "view": {"query": "SELECT 1", "useLegacySql": False},
        "etag": "new",
    }
    bigquery, http = scripted(Answer(described))
    assert bigquery.set_view(T, "SELECT 1", "seen").etag == "new"
    sent = http.sent[0]
    assert (sent.method, sent.headers["if-match"]) == ("PATCH", "seen")
    assert sent.json["view"] == {"query": "SELECT 1", "useLegacySql": False}


def test_a_change_of_labels_touches_nothing_else(scripted: Any) -> None:
    bigquery, http = scripted(
        Answer({"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"}})
    )
    bigquery.update_table(T, labels={"run": "r2"}, etag="seen")
    assert http.sent[0].json == {"labels": {"run": "r2"}}
    assert http.sent[0].headers["if-match"] == "seen"


def test_a_job_id_that_is_none_is_refused_before_it_is_sent(scripted: Any) -> None:
    bigquery, http = scripted()
    with pytest.raises(UsageError, match="cannot be a job's id"):
        bigquery.query(Statement("SELECT 1"), "a/b")
    assert not http.sent


def test_a_table_in_the_way_is_told_from_a_table_made(scripted: Any) -> None:
    bigquery, _ = scripted(refusal(409, "duplicate"))
    assert bigquery.create_table(T, NewTable(())) is False
    bigquery, _ = scripted(refusal(404, "notFound", "Not found: Dataset my-project:data"))
    with pytest.raises(BigQueryNotFoundError, match="Dataset my-project:data"):
        bigquery.create_table(T, NewTable(()))


def view(sql: str) -> Answer:
    reference = {"projectId": "my-project", "datasetId": "data", "tableId": "items"}
    return Answer({"tableReference": reference, "type": "VIEW", "view": {"query": sql}})


@pytest.mark.parametrize(("etag", "status"), [("seen", 412), (None, 409)])
def test_a_view_that_was_set_by_the_lost_request_counts_as_set(
    scripted: Any, etag: str | None, status: int
) -> None:
    bigquery, _ = scripted(refusal(status, ""), view("SELECT 1"))
    assert bigquery.set_view(T, "SELECT 1", etag).view_sql == "SELECT 1"
    bigquery, _ = scripted(refusal(status, ""), view("SELECT 2"))
    with pytest.raises(BigQueryConflictError, match="cannot set the view"):
        bigquery.set_view(T, "SELECT 1", etag)


def test_a_view_without_an_etag_is_not_set_blindly(scripted: Any) -> None:
    bigquery, http = scripted()
    with pytest.raises(BigQueryConflictError, match="no etag to compare"):
        bigquery.set_view(T, "SELECT 1", "")
    assert not http.sent
