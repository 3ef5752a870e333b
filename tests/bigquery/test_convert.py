"""The library's objects and ours: nothing is lost on the way, and nothing of a person's removed."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from reembed.bigquery.base import Field, Load, NewTable, Param, Statement, TablePartitioning
from reembed.bigquery.convert import (
    field_of,
    job_of,
    load_config,
    query_config,
    schema_field,
    table_of,
    table_resource,
)
from reembed.bigquery.names import TableName

T = TableName("my-project", "data", "items")
NESTED = Field(
    "parts", "STRUCT", "REPEATED", (Field("text", "STRING"), Field("n", "INT64")), "of it"
)


@pytest.mark.parametrize("field", [Field("a", "BOOL"), Field("b", "FLOAT64", "REQUIRED"), NESTED])
def test_a_column_comes_back_as_it_was_sent(field: Field) -> None:
    assert field_of(schema_field(field)) == field


def test_the_service_is_sent_the_names_that_it_answers_with() -> None:
    assert schema_field(Field("a", "INT64")).field_type == "INTEGER"


def test_a_column_without_a_description_leaves_the_one_that_stands() -> None:
    assert "description" not in schema_field(Field("a", "STRING")).to_api_repr()
    assert schema_field(NESTED).to_api_repr()["description"] == "of it"


@pytest.mark.parametrize(
    "partition",
    [None, TablePartitioning("embedded_at"), TablePartitioning("n", "RANGE", 0, 100, 10)],
)
def test_a_table_is_made_as_described(partition: TablePartitioning | None) -> None:
    new = NewTable((NESTED,), ("key",), partition, "rows", {"team": "a"}, expires_ms=1_800_000)
    made = table_resource(T, new)
    shown = table_of(made)
    assert (shown.name, shown.fields, shown.clustering) == (T, (NESTED,), ("key",))
    assert (shown.partition, shown.description) == (partition, "rows")
    assert (dict(shown.labels), shown.expires_ms) == ({"team": "a"}, 1_800_000)
    assert made.expires == datetime.fromtimestamp(1800, UTC)


def test_lists_of_a_parquet_file_become_arrays() -> None:
    config = load_config(Load(T, (Field("a", "STRING"),), ("gs://b/x",), clustering=("a",)))
    assert config.parquet_options.enable_list_inference
    assert config.clustering_fields == ["a"]


def test_parameters_of_a_statement_are_typed() -> None:
    params = (Param("n", "INT64", 5), Param("keys", "STRING", ("a", "b")))
    config = query_config(Statement("SELECT 1", params=params, max_bytes=10))
    assert [found.to_api_repr()["parameterType"] for found in config.query_parameters] == [
        {"type": "INT64"},
        {"type": "ARRAY", "arrayType": {"type": "STRING"}},
    ]
    assert config.maximum_bytes_billed == 10


def status(kind: str, **more: Any) -> Any:
    fields = {"job_id": "j", "state": "DONE", "location": "EU", "error_result": None, "labels": {}}
    return SimpleNamespace(job_type=kind, **fields, **more)


def test_a_loads_rows_and_bytes_are_read_where_the_library_keeps_them() -> None:
    job = job_of(status("load", input_file_bytes=7, output_rows=3, destination=None))
    assert (job.id, job.kind, job.size, job.rows, job.destination) == ("j", "load", 7, 3, None)


def test_a_merge_tells_what_became_of_rows() -> None:
    stats = SimpleNamespace(inserted_row_count=1, updated_row_count=None, deleted_row_count=2)
    merge = status("query", total_bytes_processed=9, num_dml_affected_rows=3, dml_stats=stats)
    job = job_of(merge)
    assert (job.rows, job.inserted, job.updated, job.deleted, job.size) == (3, 1, 0, 2, 9)
