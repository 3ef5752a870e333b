"""View that readers use: found, set by compare-and-set, and shown as a statement."""

from __future__ import annotations

from reembed.bigquery.base import BigQuery, Table
from reembed.bigquery.names import TableName
from reembed.errors import BigQueryConflictError, RunFailedError, UsageError


def find_view(bigquery: BigQuery, view: TableName) -> Table | None:
    """Look a view up; None: nothing has its name.

    Raises:
        UsageError: a table or something else has the name.
    """
    found = bigquery.table(view)
    if found is not None and found.kind != "VIEW":
        raise UsageError(f"destination.bigquery.view: {view} is a {found.kind}; name a view")
    return found


def point_view(bigquery: BigQuery, view: TableName, sql: str, found: Table | None) -> None:
    """Make a view say `sql`, if it is still as it was found.

    Two people may change a view at once. Compared by its etag, the second change is refused
    instead of silently undoing the first.

    Args:
        bigquery: client of the project that pays.
        view: its name.
        sql: its new query; empty: it is removed.
        found: from `find_view`; None makes a new view.

    Raises:
        RunFailedError: it was changed since; says what it says now.
    """
    if not sql:
        bigquery.delete_table(view)
        return
    try:
        bigquery.set_view(view, sql, found.etag if found is not None else None)
    except BigQueryConflictError as err:
        now = bigquery.table(view)
        raise RunFailedError(
            f"{view} was changed by somebody else at this moment ({err}); it says now: "
            f"{now.view_sql if now is not None else '(no view)'}"
        ) from err


def view_statement(view: TableName, sql: str) -> str:
    """Write the statement that has the effect of `point_view`, for people to read."""
    if not sql:
        return f"DROP VIEW {view.sql}"
    return f"CREATE OR REPLACE VIEW {view.sql} AS\n{sql}"
