"""Columns, labels and description of the destination table; checks of an existing one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from reembed.bigquery.base import Field, Mode, NewTable, Table, TablePartitioning
from reembed.bigquery.names import TableName, parse_table, quoted
from reembed.config.destination import BigQueryOptions
from reembed.config.schema import Config
from reembed.core.schema import ROW
from reembed.errors import UsageError

# Labels that this tool sets. `reembed_state` is `making` until all rows of a new table are in.
RUN: Final = "reembed_run"
STATE: Final = "reembed_state"
MAKING, WHOLE = "making", "whole"
SPACE: Final = ("reembed_model", "reembed_dimensions", "reembed_task")
# The model's label where a table was allowed to hold several models: no label can name them all,
# so the next check looks at the rows.
MIXED: Final = "mixed"
# https://cloud.google.com/bigquery/docs/labels-intro#requirements
_LABEL_KEY: Final = re.compile(r"[^\W\d_][\w-]*")
_LABEL_VALUE: Final = re.compile(r"[\w-]*")
_MOST_LABELS, _LABEL_LENGTH = 64, 63
# Our line of a description begins so; all other lines are the user's and stay.
_LINE: Final = "reembed: "
# https://cloud.google.com/bigquery/docs/clustered-tables#cluster_column_types
_CLUSTERS: Final = ("STRING", "INT64", "TIMESTAMP")
_DESCRIPTIONS: Final = {
    "key": "key of the input",
    "source_index": "the input's position; source_index, offset, part is the order of the input",
    "offset": "where the chunk begins, for the order",
    "part": "the chunk's number within its input, from 0",
    "parts": "how many chunks the input has",
    "start": "first character, second or page, as unit says",
    "end": "end of the chunk, in unit",
    "metadata": "JSON",
    "content_hash": "of the content and of what decides its vectors",
    "embedding": "unit length",
}


def row_fields() -> tuple[Field, ...]:
    """Columns of rows (`core.schema.ROW`) as BigQuery has them; vectors are ARRAY<FLOAT64>."""
    return tuple(_field(field) for field in ROW)


def columns() -> list[tuple[str, str]]:
    """Name and GoogleSQL type of every column."""
    return [(field.name, field.sql_type) for field in row_fields()]


def new_table(config: Config, labels: Mapping[str, str], description: str = "") -> NewTable:
    """Describe a table of rows, clustered and partitioned as configured.

    Raises:
        UsageError: a column cannot cluster.
    """
    options = destination_of(config)
    fields = row_fields()
    kinds = {field.name: field.type for field in fields if field.mode != "REPEATED"}
    for index, name in enumerate(options.cluster_by):
        if kinds.get(name) not in _CLUSTERS:
            choice = ", ".join(column for column, kind in kinds.items() if kind in _CLUSTERS)
            raise UsageError(
                f"destination.bigquery.cluster_by[{index}]: {name!r} cannot cluster rows; use some "
                f"of {choice}"
            )
    partition = (
        TablePartitioning(options.partition_by) if options.partition_by is not None else None
    )
    return NewTable(fields, options.cluster_by, partition, description, labels)


def check_columns(table: Table) -> None:
    """Refuse a table that could not take the rows; more columns are fine if they may be NULL.

    Raises:
        UsageError: it is no table; or names the first column that differs.
    """
    if table.kind != "TABLE":
        raise UsageError(f"{table.name} is a {table.kind}, not a table; name another table")
    fields = row_fields()
    for field in fields:
        found = table.column(field.name)
        if found is None:
            raise UsageError(
                f"{table.name} has no column {field.name} ({field.sql_type}); add it with "
                f"`ALTER TABLE {table.name.sql} ADD COLUMN {quoted(field.name)} "
                f"{field.sql_type}`, or name another table"
            )
        if found.sql_type != field.sql_type:
            raise UsageError(
                f"{table.name}: column {field.name} is {found.sql_type}, and rows have "
                f"{field.sql_type}; name another table"
            )
        if found.mode == "REQUIRED" and field.mode != "REQUIRED":
            raise UsageError(
                f"{table.name}: column {field.name} is REQUIRED, and rows may have none; "
                f"`ALTER TABLE {table.name.sql} ALTER COLUMN {quoted(field.name)} DROP NOT NULL`"
            )
    known = {field.name for field in fields}
    for found in table.fields:
        if found.mode == "REQUIRED" and found.name.casefold() not in known:
            raise UsageError(
                f"{table.name}: column {found.name} is REQUIRED, and rows do not have it; drop "
                "NOT NULL, or name another table"
            )


def space_labels(config: Config) -> dict[str, str]:
    """Labels that name the space of the vectors: model, dimensions and task."""
    model = config.model
    values = (model.name, str(model.dimensions), model.task)
    return {name: label(value) for name, value in zip(SPACE, values, strict=True)}


def run_labels(config: Config, run: str, state: str) -> dict[str, str]:
    """All labels of a table: the user's, those of the space, those of the run."""
    return {**destination_of(config).labels, **space_labels(config), RUN: label(run), STATE: state}


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that BigQuery would refuse after the run is paid.

    Raises:
        UsageError: names the first of them.
    """
    rule = "lower case letters, digits, _ and -, at most 63, a letter first in names"
    for name, value in labels.items():
        fits = _LABEL_KEY.fullmatch(name) and _LABEL_VALUE.fullmatch(value)
        lower = name == name.lower() and value == value.lower()
        if not fits or not lower or max(len(name), len(value)) > _LABEL_LENGTH:
            raise UsageError(
                f"destination.bigquery.labels.{name}: {value!r} cannot be a label: {rule}"
            )
        if name in (*SPACE, RUN, STATE):
            raise UsageError(
                f"destination.bigquery.labels.{name} is set by reembed; take another name"
            )
    if len(labels) > _MOST_LABELS - len(SPACE) - 2:
        raise UsageError(
            f"destination.bigquery.labels: {len(labels)} labels; a table takes 64 in all"
        )


def label(text: str) -> str:
    """Make a text a label's value: lower case, at most 63 characters."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:_LABEL_LENGTH]


def described(old: str, config: Config, run: str) -> str:
    """Put our line into a table's description; the user's other lines stay."""
    model = config.model
    line = (
        f"{_LINE}vectors of {model.name}, {model.dimensions} dimensions, task {model.task}; "
        f"run {run}"
    )
    kept = [text for text in old.splitlines() if not text.startswith(_LINE)]
    return "\n".join([*kept, line])


def table_beside(config: Config, suffix: str) -> TableName:
    """Name a helper table: in the dataset for staging, else in that of the destination."""
    options = destination_of(config)
    dest = parse_table(options.table)
    dataset = options.staging_dataset or f"{dest.project}.{dest.dataset}"
    return parse_table(f"{dataset}.{dest.table}_reembed_{suffix}")


def destination_of(config: Config) -> BigQueryOptions:
    """Return the section `destination.bigquery`.

    Raises:
        UsageError: there is none.
    """
    if config.destination.bigquery is None:
        raise UsageError("destination.bigquery is not given; name a table")
    return config.destination.bigquery


def _field(field: pa.Field) -> Field:
    kind = field.type
    mode: Mode = "NULLABLE" if field.nullable else "REQUIRED"
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    return Field(field.name, _sql_type(kind), mode, (), _DESCRIPTIONS.get(field.name, ""))


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "FLOAT64"
    if pa.types.is_integer(kind):
        return "INT64"
    return "TIMESTAMP" if pa.types.is_timestamp(kind) else "STRING"
