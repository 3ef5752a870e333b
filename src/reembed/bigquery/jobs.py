"""Jobs of BigQuery: begun at most once for an id, waited for, their outcome returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from reembed.bigquery.base import Job, Load, Statement
from reembed.bigquery.connections import Connections, Policy
from reembed.bigquery.convert import job_of, load_config, query_config
from reembed.bigquery.errors import TIMEOUT, bigquery_errors, job_failed_before, job_failure
from reembed.bigquery.names import TableName, check_job_id
from reembed.errors import BigQueryError, StatementRefusedError

# https://cloud.google.com/bigquery/quotas#load_jobs
MOST_URIS: Final = 10_000
_PAGE_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs that one project runs and pays for.

    Every job that writes has an id of ours. BigQuery runs an id once: it answers 409 where the id
    has a job, whoever began it. That job is waited for, and its outcome is the call's. Without
    this, a request whose answer was lost would load the same files twice. A job that failed keeps
    its id for good, so `JobFailedError` says "had failed already" and the caller takes a new id.
    """

    connect: Callable[[str], Connections]
    project: str
    policy: Policy

    def load(self, load: Load, job_id: str, location: str) -> Job:
        """Load Parquet files in one job and wait for its end."""
        what = f"loading {load.table}"
        target, config = str(load.table), load_config(load)
        options = {"job_id": check_job_id(job_id), "location": location, "job_config": config}
        source = load.source
        if isinstance(source, Path):
            # An upload takes long: ask first whether the job is there.
            known = self._find(job_id, location)
            if known is not None:
                return self._wait(known, what, reused=True)
            return self._run(lambda: self._upload(source, target, options), what, job_id, location)
        if not 0 < len(source) <= MOST_URIS:
            raise StatementRefusedError(
                f"{what}: {len(source)} files; a load job takes 1 to {MOST_URIS}: use several"
            )
        return self._run(
            lambda: self._rest.load_table_from_uri(
                list(source), target, **options, **self._patience
            ),
            what,
            job_id,
            location,
        )

    def copy(
        self, source: TableName, dest: TableName, job: tuple[str, str], labels: Mapping[str, str]
    ) -> Job:
        """Copy a table and wait for its end; `job` is its id and its location."""
        job_id, location = check_job_id(job[0]), job[1]
        config = bigquery.CopyJobConfig(
            create_disposition=bigquery.CreateDisposition.CREATE_IF_NEEDED,
            write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
            labels=dict(labels),
        )
        options = {"job_id": job_id, "location": location, "job_config": config}
        return self._run(
            lambda: self._rest.copy_table(str(source), str(dest), **options, **self._patience),
            f"copying {source} to {dest}",
            job_id,
            location,
        )

    def query(self, statement: Statement, job_id: str) -> Job:
        """Run a statement and wait for its end."""
        return self._run(
            lambda: self._rest.query(
                statement.sql,
                query_config(statement),
                job_id=check_job_id(job_id) if job_id else None,
                location=statement.location or None,
                job_retry=None,
                **self._patience,
            ),
            "query",
            job_id,
            statement.location,
        )

    def dry_run(self, statement: Statement) -> int:
        """Return the bytes that a statement would be billed for."""
        config = query_config(statement)
        # A cached result costs nothing, but may have expired when the statement runs.
        config.dry_run, config.use_query_cache = True, False
        location = statement.location or None
        with bigquery_errors("query", "estimate it"):
            job = self._rest.query(
                statement.sql, config, location=location, job_retry=None, **self._patience
            )
            return int(job.total_bytes_processed or 0)

    def results(self, job: Job) -> Iterator[pa.RecordBatch]:
        """Read what a query returned, page by page."""
        with bigquery_errors(f"job {job.id}", "read its rows"):
            found = self._rest.get_job(job.id, location=job.location or None, **self._patience)
            rows = found.result(page_size=_PAGE_ROWS, job_retry=None, **self._patience)
            for batch in rows.to_arrow_iterable():
                # The library yields an empty batch for an empty result.
                if batch.num_rows:
                    yield batch

    def job(self, job_id: str, location: str) -> Job | None:
        """Look a job up."""
        found = self._find(check_job_id(job_id), location)
        return None if found is None else job_of(found)

    @property
    def _rest(self) -> Any:
        return self.connect(self.project).rest

    @property
    def _patience(self) -> dict[str, Any]:
        return {"retry": self.policy.retry(), "timeout": TIMEOUT}

    def _upload(self, path: Path, target: str, options: dict[str, Any]) -> Any:
        with path.open("rb") as file:
            return self._rest.load_table_from_file(file, target, timeout=TIMEOUT, **options)

    def _run(self, begin: Callable[[], Any], what: str, job_id: str, location: str) -> Job:
        reused = False
        with bigquery_errors(what, "begin the job"):
            try:
                job = begin()
            except (BadRequest, Conflict):
                # The id has a job: of another process, or of this very request, whose first answer
                # was lost. Some servers answer 400 where two ask at once.
                job, reused = self._find(job_id, location) if job_id else None, True
                if job is None:
                    raise
        return self._wait(job, what, reused=reused)

    def _wait(self, job: Any, what: str, *, reused: bool) -> Job:
        """Wait for a job's end; `reused` says that it may have ended before this call."""
        failed_before = reused and job.state == "DONE" and job.error_result
        if failed_before:
            raise job_failed_before(job.error_result, what, job.job_id)
        for pause in self.policy.waits():
            if job.state == "DONE":
                break
            self.policy.sleep(pause)
            job = self._find(job.job_id, job.location)
            if job is None:
                raise BigQueryError(f"{what}: its job was deleted; the same command begins it anew")
        if job.state != "DONE":
            hours = self.policy.longest / 3600
            raise BigQueryError(
                f"{what}: job {job.job_id} still runs after {hours:g} hours; "
                "the same command waits on, or cancel the job"
            )
        if job.error_result:
            raise job_failure(job.error_result, what, job.job_id)
        return job_of(job)

    def _find(self, job_id: str, location: str) -> Any:
        with bigquery_errors(f"job {job_id}", "look it up"):
            try:
                return self._rest.get_job(job_id, location=location or None, **self._patience)
            except NotFound:
                return None
