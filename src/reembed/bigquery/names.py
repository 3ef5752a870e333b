"""Names of tables, columns and jobs: parsed, checked, and quoted for SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from reembed.errors import UsageError

# https://cloud.google.com/resource-manager/docs/creating-managing-projects: 6 to 30 letters,
# digits and hyphens; older projects have a domain before them, as in `example.com:project`.
_PROJECT: Final = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{2,28}[a-z0-9]")
# https://cloud.google.com/bigquery/docs/datasets#dataset-naming
_DATASET: Final = re.compile(r"[A-Za-z0-9_]{1,1024}")
# https://cloud.google.com/bigquery/docs/tables#table_naming allows letters of all scripts and
# spaces; neither backquotes nor backslashes, so a quoted name needs no escapes.
_TABLE: Final = re.compile(r"[^\W]([\w -]*[\w-])?")
_TABLE_BYTES: Final = 1024
# https://cloud.google.com/bigquery/docs/schemas#column_names
_COLUMN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_COLUMN_PREFIXES: Final = ("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__")
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,1024}")


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """Full name of a table or view; as text ``project.dataset.table``."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"

    def sibling(self, table: str) -> TableName:
        """Name another table of the same dataset.

        Raises:
            UsageError: `table` cannot be a table's name.
        """
        return parse_table(f"{self.project}.{self.dataset}.{table}")

    @property
    def sql(self) -> str:
        """Name in GoogleSQL, quoted part by part."""
        return f"`{self.project}`.`{self.dataset}`.`{self.table}`"


def parse_table(text: str, project: str = "") -> TableName:
    """Parse ``project.dataset.table``, or ``dataset.table`` where a project is given.

    Raises:
        UsageError: a part is missing or cannot be a name.
    """
    head, _, table = text.rpartition(".")
    owner, _, dataset = head.rpartition(".")
    name = TableName(owner or project, dataset, table)
    if not name.project:
        raise UsageError(f"{text!r}: write project.dataset.table")
    if _PROJECT.fullmatch(name.project) is None:
        raise UsageError(f"{text!r}: {name.project!r} cannot be a project; use its id")
    if _DATASET.fullmatch(dataset) is None:
        remedy = "write project.dataset.table, the dataset in letters, digits and underscores"
        raise UsageError(f"{text!r}: {dataset!r} cannot be a dataset; {remedy}")
    if _TABLE.fullmatch(table) is None or len(table.encode()) > _TABLE_BYTES:
        remedy = "use letters, digits, underscores and hyphens, at most 1,024 bytes"
        raise UsageError(f"{text!r}: {table!r} cannot be a table; {remedy}")
    return name


def quoted(column: str) -> str:
    """Quote a column's name for GoogleSQL; between backquotes, keywords are names too.

    A name is checked before it becomes a part of a statement: no name can end its quotes.

    Raises:
        UsageError: `column` cannot be a column's name.
    """
    if _COLUMN.fullmatch(column) is None or column.upper().startswith(_COLUMN_PREFIXES):
        remedy = "use letters, digits and underscores, a letter first, at most 300"
        raise UsageError(f"{column!r} cannot be a column; {remedy}")
    return f"`{column}`"


def check_job_id(job_id: str) -> str:
    """Return a job id as it is: letters, digits, underscores and hyphens, at most 1,024.

    Limit: https://cloud.google.com/bigquery/docs/reference/rest/v2/JobReference

    Raises:
        UsageError: BigQuery would refuse it.
    """
    if _JOB_ID.fullmatch(job_id) is None:
        raise UsageError(f"{job_id!r} cannot be a job's id; use letters, digits, _ and -")
    return job_id
