"""Client of BigQuery through Google's libraries: the real side of the seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery

from reembed.bigquery.base import BigQuery, Job, Load, NewTable, Read, ReadStream, Statement, Table
from reembed.bigquery.connections import Connections, Policy, connect
from reembed.bigquery.convert import table_of, table_resource
from reembed.bigquery.errors import TIMEOUT, bigquery_errors
from reembed.bigquery.jobs import Jobs
from reembed.bigquery.names import TableName
from reembed.bigquery.reads import Reads
from reembed.errors import BigQueryConflictError


def open_bigquery_client(project: str) -> BigQuery:
    """Make a client whose jobs and reads a project runs and pays for; nothing connects yet."""
    return BigQueryClient(project)


class BigQueryClient:
    """Tables and views over REST; jobs and reads are carried out by `Jobs` and `Reads`.

    Args:
        project: the project that runs and pays for jobs and reads.
        policy: how long to wait and how often to retry.
        connections: makes the clients of this process; must be picklable.
    """

    def __init__(
        self,
        project: str,
        policy: Policy | None = None,
        connections: Callable[[str], Connections] = connect,
    ) -> None:
        self._project, self._connect = project, connections
        self._policy = policy or Policy()
        self._jobs = Jobs(connections, project, self._policy)
        self._reads = Reads(connections, project, self._policy)

    def table(self, name: TableName) -> Table | None:
        """Describe a table or view; None: there is none."""
        with bigquery_errors(str(name), "read its description"):
            try:
                return table_of(self._rest.get_table(str(name), **self._patience))
            except NotFound:
                return None

    def location(self, name: TableName) -> str:
        """Read the location of a table's dataset."""
        dataset = f"{name.project}.{name.dataset}"
        with bigquery_errors(dataset, "read the dataset's description"):
            return str(self._rest.get_dataset(dataset, **self._patience).location or "")

    def create_table(self, name: TableName, new: NewTable) -> bool:
        """Make a table if its name is free; False where something has the name already."""
        with bigquery_errors(str(name), "make the table"):
            try:
                self._rest.create_table(table_resource(name, new), **self._patience)
            except Conflict:
                return False
        return True

    def delete_table(self, name: TableName) -> None:
        """Remove a table or view; no error where there is none."""
        with bigquery_errors(str(name), "remove it"):
            self._rest.delete_table(str(name), not_found_ok=True, **self._patience)

    def update_table(
        self,
        name: TableName,
        *,
        labels: Mapping[str, str] | None = None,
        description: str | None = None,
        etag: str = "",
    ) -> Table:
        """Change labels and description of a table or view."""
        table = _reference(name, etag)
        changed: list[str] = []
        if labels is not None:
            table.labels = dict(labels)
            changed.append("labels")
        if description is not None:
            table.description = description
            changed.append("description")
        with bigquery_errors(str(name), "change its labels"):
            return table_of(self._rest.update_table(table, changed, **self._patience))

    def set_view(self, name: TableName, sql: str, etag: str | None) -> Table:
        """Point a view at a query: a new view where `etag` is None, else the one with this etag."""
        if etag == "":
            # The library would send no If-Match, and the change would be unconditional.
            raise BigQueryConflictError(f"{name}: it has no etag to compare; look at it again")
        view = _reference(name, etag or "")
        view.view_query = sql
        with bigquery_errors(str(name), "set the view"):
            try:
                if etag is None:
                    return table_of(self._rest.create_table(view, **self._patience))
                return table_of(self._rest.update_table(view, ["view_query"], **self._patience))
            except (Conflict, PreconditionFailed):
                # The library repeats a request whose answer was lost: that one finds the change
                # which the first has made, and is refused for it.
                found = self.table(name)
                if found is None or found.view_sql != sql:
                    raise
                return found

    def copy(
        self, source: TableName, dest: TableName, job_id: str, labels: Mapping[str, str]
    ) -> Job:
        """Copy a table to a name that is free or empty, and wait for its end."""
        return self._jobs.copy(source, dest, (job_id, self.location(dest)), labels)

    def load(self, load: Load, job_id: str) -> Job:
        """Load Parquet files in one job and wait for its end."""
        return self._jobs.load(load, job_id, self.location(load.table))

    def query(self, statement: Statement, job_id: str = "") -> Job:
        """Run a statement and wait for its end."""
        return self._jobs.query(statement, job_id)

    def results(self, job: Job) -> Iterator[pa.RecordBatch]:
        """Read what a query returned, page by page."""
        return self._jobs.results(job)

    def dry_run(self, statement: Statement) -> int:
        """Return the bytes that a statement would be billed for, without running it."""
        return self._jobs.dry_run(statement)

    def job(self, job_id: str, location: str = "") -> Job | None:
        """Look a job up; None: there is none of this id in this location."""
        return self._jobs.job(job_id, location)

    def read_streams(self, table: TableName, read: Read) -> tuple[ReadStream, ...]:
        """Open a read session; returns its streams, none for an empty table."""
        return self._reads.streams(table, read)

    def read_stream(self, stream: ReadStream, offset: int = 0) -> Iterator[pa.RecordBatch]:
        """Read a stream from a row on; after a broken connection, go on at the next row."""
        return self._reads.stream(stream, offset)

    @property
    def _rest(self) -> Any:
        return self._connect(self._project).rest

    @property
    def _patience(self) -> dict[str, Any]:
        return {"retry": self._policy.retry(), "timeout": TIMEOUT}


def _reference(name: TableName, etag: str) -> Any:
    """Make a table object of a name alone, and of the etag that the table must still have."""
    reference = {"projectId": name.project, "datasetId": name.dataset, "tableId": name.table}
    resource: dict[str, Any] = {"tableReference": reference}
    # The library sends it as If-Match.
    return bigquery.Table.from_api_repr(resource | ({"etag": etag} if etag else {}))
