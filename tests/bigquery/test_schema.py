"""The destination table: its columns, labels and description, and tables that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reembed.bigquery.base import Field, Table
from reembed.bigquery.names import TableName
from reembed.bigquery.schema import (
    check_columns,
    check_labels,
    columns,
    described,
    destination_of,
    label,
    new_table,
    row_fields,
    run_labels,
    table_beside,
)
from reembed.config.schema import Config
from reembed.core.schema import ROW
from reembed.errors import UsageError

T = TableName("my-project", "data", "items")


def config_of(**options: Any) -> Config:
    bigquery = {"table": str(T), **options}
    return Config.model_validate(
        {"name": "n", "source": {"files": ["*"]}, "destination": {"bigquery": bigquery}}
    )


def test_every_column_of_a_row_has_a_type_and_vectors_are_arrays() -> None:
    assert [name for name, _ in columns()] == ROW.names
    assert dict(columns())["embedding"] == "ARRAY<FLOAT64>"
    assert all(kind for _, kind in columns())


def test_a_table_is_clustered_and_partitioned_as_configured() -> None:
    new = new_table(config_of(partition_by="embedded_at", cluster_by=["key", "modality"]), {})
    assert new.clustering == ("key", "modality")
    assert new.partition is not None
    assert new.partition.column == "embedded_at"
    assert new_table(config_of(), {}).partition is None


def test_a_column_of_vectors_cannot_cluster() -> None:
    with pytest.raises(UsageError, match=r"cluster_by\[1\]: 'embedding' cannot cluster rows"):
        new_table(config_of(cluster_by=["key", "embedding"]), {})


def table(fields: tuple[Field, ...], kind: str = "TABLE") -> Table:
    return Table(T, kind, fields, 0, 0, "e", "EU")


WRONG: list[tuple[Callable[[tuple[Field, ...]], Table], str]] = [
    (lambda fields: table(fields, "VIEW"), "is a VIEW, not a table"),
    (lambda fields: table(fields[1:]), r"no column key \(STRING\); add it with `ALTER TABLE"),
    (lambda fields: table((replace(fields[0], type="INT64"), *fields[1:])), "key is INT64"),
    (lambda fields: table((*fields, Field("more", "STRING", "REQUIRED"))), "more is REQUIRED"),
    (
        lambda fields: table(tuple(replace(f, mode="REQUIRED") for f in fields)),
        "is REQUIRED, and rows may have none",
    ),
]


@pytest.mark.parametrize(("made", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_table_that_could_not_take_the_rows_is_refused(
    made: Callable[[tuple[Field, ...]], Table], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        check_columns(made(row_fields()))


def test_further_columns_that_may_be_null_are_fine() -> None:
    check_columns(table((*row_fields(), Field("more", "STRING"))))


def test_labels_name_the_space_and_the_run() -> None:
    labels = run_labels(config_of(labels={"team": "search"}), "run1", "whole")
    assert labels["team"] == "search"
    assert labels["reembed_model"] == "gemini-embedding-2"
    assert (labels["reembed_run"], labels["reembed_state"]) == ("run1", "whole")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"Team": "x"}, "cannot be a label"),
        ({"team": "x" * 64}, "cannot be a label"),
        ({"reembed_run": "x"}, "is set by reembed"),
        ({f"l{n}": "x" for n in range(60)}, "60 labels; a table takes 64 in all"),
    ],
)
def test_labels_that_would_be_refused_once_all_is_paid(labels: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_labels(labels)


def test_any_text_can_be_made_a_label() -> None:
    assert label("Gemini Embedding.2") == "gemini_embedding_2"
    assert len(label("x" * 100)) == 63


def test_the_users_lines_of_a_description_stay() -> None:
    first = described("Rows of search.", config_of(), "run1")
    assert first.splitlines()[0] == "Rows of search."
    second = described(first, config_of(), "run2")
    assert second.splitlines()[:1] == ["Rows of search."]
    assert "run run2" in second
    assert "run1" not in second


def test_a_helper_table_stands_in_the_dataset_for_staging() -> None:
    beside = str(table_beside(config_of(), "run1"))
    assert beside == "my-project.data.items_reembed_run1"
    staged = config_of(staging_dataset="other-project.staging")
    assert str(table_beside(staged, "run1")) == "other-project.staging.items_reembed_run1"


def test_without_the_section_there_is_no_table() -> None:
    config = Config.model_validate({"name": "n", "source": {"files": ["*"]}})
    with pytest.raises(UsageError, match="name a table"):
        destination_of(config)
