"""Records, manifests and answers that were tampered with: what a lane does not follow."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.core.records import Created
from reembed.errors import RunFailedError
from reembed.runs.cancel import cancel_jobs

SHARD = "00000000-000000"


def rewrite(run, column, value):
    """Change one column of the shard's manifest, as somebody with access to the folder could."""
    name = run.layout.manifest(run.session.plan, SHARD)
    with run.storage.open(name) as stream:
        table = pq.read_table(stream)
    at = table.schema.get_field_index(column)
    values = pa.array([value] * table.num_rows, table.schema.field(column).type)
    buffer = pa.BufferOutputStream()
    pq.write_table(table.set_column(at, table.schema.field(column), values), buffer)
    run.storage.put(name, buffer.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("column", "value"),
    [("text", "something else"), ("key", "/etc/passwd"), ("generation", "1-1"), ("recipe", "{}")],
)
def test_a_manifest_that_is_not_the_planned_one_is_not_sent(site, column, value):
    run = site(5, jumps=True)
    rewrite(run, column, value)
    with pytest.raises(RunFailedError, match="is not the manifest that was planned: restore it"):
        run.drive()
    assert run.jobs() == []
    assert run.count("upload.start") == 0


def foreign_job(run, service, tmp_path, display_name):
    """A job of somebody else in the same project, over a file of theirs."""
    path = tmp_path / "theirs.jsonl"
    path.write_bytes(b'{"key":"a","request":{"content":{"parts":[{"text":"a"}]}}}\n')
    service.upload(path, "files/theirs", "application/jsonl")
    return service.create_from_file("gemini-embedding-2", display_name, "files/theirs", 0)


def test_no_file_but_ours_is_deleted(site, tmp_path):
    run = site(5, jumps=True)
    run.faults({"job": 1, "do": "fail_job", "code": 13})
    service = run.service()
    job = foreign_job(run, service, tmp_path, "whatever")
    context = run.context(service)
    record = Created(job=job.name, display_name="x", epoch=1, input_file="files/theirs")
    context.ledger.created(SHARD, "0", record)
    settled = run.drive(context)[SHARD]
    assert (settled.rows, settled.jobs) == (5, 2)
    assert [file.name for file in service.list_files() if file.name == "files/theirs"]


def test_no_job_but_ours_is_cancelled(site, tmp_path):
    run = site(5, jumps=True)
    service = run.service()
    run.faults({"job": "*", "do": "stuck"})
    theirs = foreign_job(run, service, tmp_path, "somebody/else")
    ours = service.create_from_file(
        "gemini-embedding-2", f"{run.session.run}/{SHARD}/0/ff", "files/theirs", 0
    )
    ledger = run.context(service).ledger
    ledger.created(SHARD, "0", Created(job=theirs.name, display_name="x", epoch=1))
    commit: Any = FakeCommit(run.session.run, run.session.plan, 1)
    assert cancel_jobs(run.run_dir, commit, service).asked == 0
    assert service.get(theirs.name).state == "PENDING"
    assert service.get(ours.name).state == "PENDING", "the ledger does not name it"


class FakeCommit:
    def __init__(self, run, plan, number):
        self.run, self.plan, self.number = run, plan, number


@pytest.mark.parametrize("end", ["yesterday", "", "0001-01-01T00:00:00+14:00", "9" * 400])
def test_a_time_that_is_none_stops_nothing(site, end):
    run = site(5, jumps=True)
    settled = run.drive(run.context(OddTimes(run.service(), end)))[SHARD]
    assert settled.rows == 5
    assert {row["embedded_at"].year for row in run.rows()} == {1970}


class OddTimes:
    """A service whose jobs end at odd times; everything else is the real client's."""

    def __init__(self, service, end):
        self._service, self._end = service, end

    def __getattr__(self, name):
        return getattr(self._service, name)

    def get(self, name):
        return replace(self._service.get(name), end_time=self._end)
