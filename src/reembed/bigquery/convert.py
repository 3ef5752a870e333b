"""Convert between the Google library's objects and ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

from google.cloud import bigquery

from reembed.bigquery.base import (
    Field,
    Job,
    Load,
    Mode,
    NewTable,
    Param,
    Statement,
    Table,
    TablePartitioning,
)
from reembed.bigquery.names import TableName

# https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema: the service
# answers with the older names of types, whichever it was sent.
_NEWER: Final = {
    "BOOLEAN": "BOOL",
    "FLOAT": "FLOAT64",
    "INTEGER": "INT64",
    "RECORD": "STRUCT",
}
_OLDER: Final = {newer: older for older, newer in _NEWER.items()}
# Partitions of a range of integers have no unit of time.
_RANGE: Final = "RANGE"


def field_of(column: Any) -> Field:
    """Convert a column that the service describes."""
    kind = str(column.field_type).upper()
    mode = cast(Mode, column.mode if column.mode in get_args(Mode) else "NULLABLE")
    inner = tuple(field_of(found) for found in column.fields)
    return Field(column.name, _NEWER.get(kind, kind), mode, inner, column.description or "")


def schema_field(field: Field) -> Any:
    """Convert a column to send it to the service."""
    # A description that is sent as null would remove the one that a person wrote.
    described: dict[str, Any] = {"description": field.description} if field.description else {}
    return bigquery.SchemaField(
        field.name,
        _OLDER.get(field.type, field.type),
        mode=field.mode,
        fields=tuple(schema_field(inner) for inner in field.fields),
        **described,
    )


def name_of(reference: Any) -> TableName | None:
    """Convert a table's reference; None where a job has no destination."""
    if reference is None:
        return None
    return TableName(reference.project, reference.dataset_id, reference.table_id)


def table_of(table: Any) -> Table:
    """Convert a table or view that the service describes."""
    name = TableName(table.project, table.dataset_id, table.table_id)
    return Table(
        name=name,
        kind=table.table_type or "TABLE",
        fields=tuple(field_of(column) for column in table.schema),
        rows=table.num_rows or 0,
        size=table.num_bytes or 0,
        etag=table.etag or "",
        location=table.location or "",
        description=table.description or "",
        labels=dict(table.labels),
        clustering=tuple(table.clustering_fields or ()),
        partition=_partition_of(table),
        created_ms=_millis(table.created),
        modified_ms=_millis(table.modified),
        expires_ms=_millis(table.expires),
        view_sql=table.view_query or "",
    )


def table_resource(name: TableName, new: NewTable) -> Any:
    """Convert the description of a table to make."""
    table = bigquery.Table(str(name), schema=[schema_field(field) for field in new.fields])
    if new.clustering:
        table.clustering_fields = list(new.clustering)
    if new.description:
        table.description = new.description
    table.labels = dict(new.labels)
    if new.expires_ms:
        table.expires = datetime.fromtimestamp(new.expires_ms / 1000, UTC)
    part = new.partition
    if part is not None and part.unit == _RANGE:
        table.range_partitioning = bigquery.RangePartitioning(
            field=part.column,
            range_=bigquery.PartitionRange(start=part.start, end=part.end, interval=part.step),
        )
    elif part is not None:
        table.time_partitioning = bigquery.TimePartitioning(
            type_=part.unit, field=part.column or None
        )
    return table


def job_of(job: Any) -> Job:
    """Convert a job's status."""
    kind = str(job.job_type)
    result: dict[str, Any] = job.error_result or {}
    rows = inserted = updated = deleted = None
    size = 0
    if kind == "query":
        size, rows = job.total_bytes_processed or 0, job.num_dml_affected_rows
        stats = job.dml_stats
        if stats is not None:
            inserted, updated = stats.inserted_row_count, stats.updated_row_count
            deleted = stats.deleted_row_count
    elif kind == "load":
        size, rows = job.input_file_bytes or 0, job.output_rows
    return Job(
        id=job.job_id,
        kind=kind,
        state=job.state or "PENDING",
        location=job.location or "",
        reason=str(result.get("reason", "")),
        message=str(result.get("message", "")),
        size=size,
        rows=rows,
        inserted=inserted or 0,
        updated=updated or 0,
        deleted=deleted or 0,
        destination=name_of(getattr(job, "destination", None)),
        labels=dict(job.labels),
    )


def query_config(statement: Statement) -> Any:
    """Make the configuration of a query job, with its parameters."""
    config = bigquery.QueryJobConfig(
        query_parameters=[_parameter(param) for param in statement.params],
        labels=dict(statement.labels),
    )
    if statement.max_bytes is not None:
        config.maximum_bytes_billed = statement.max_bytes
    return config


def load_config(load: Load) -> Any:
    """Make the configuration of a load job of Parquet files.

    Without list inference a list column becomes a RECORD of `list` and `element` instead of an
    ARRAY, which no test against the local server would show (it makes an ARRAY either way):
    https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet
    """
    lists = bigquery.ParquetOptions()
    lists.enable_list_inference = True
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        schema=[schema_field(field) for field in load.fields],
        create_disposition=bigquery.CreateDisposition.CREATE_IF_NEEDED,
        write_disposition=load.write,
        parquet_options=lists,
        labels=dict(load.labels),
    )
    if load.clustering:
        config.clustering_fields = list(load.clustering)
    return config


def _parameter(param: Param) -> Any:
    if isinstance(param.value, tuple):
        return bigquery.ArrayQueryParameter(param.name, param.type, list(param.value))
    value: Any = param.value
    return bigquery.ScalarQueryParameter(param.name, param.type, value)


def _partition_of(table: Any) -> TablePartitioning | None:
    if table.range_partitioning is not None:
        bounds = table.range_partitioning.range_
        column = table.range_partitioning.field
        return TablePartitioning(column, _RANGE, bounds.start, bounds.end, bounds.interval)
    if table.time_partitioning is not None:
        return TablePartitioning(table.time_partitioning.field or "", table.time_partitioning.type_)
    return None


def _millis(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment is not None else 0
