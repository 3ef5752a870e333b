"""A run whose files hold fewer rows than were planned fails, whatever its ledger says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from e2e.harness import Project, emulator, invoke, run_with, texts
from reembed.errors import RunFailedError


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    return lambda url: Project(tmp_path, url, {"batch": {"max_requests": 12}})


def test_a_part_that_lost_rows_fails_the_run(project: Callable[..., Project]) -> None:
    with emulator() as remote:
        job = project(remote.url).write(texts(30))
        assert invoke("run", job.config).code == 0
        part = job.results().parts[0]
        whole = pq.read_table(part)
        pq.write_table(whole.slice(1), part)
        for record in job.run_dir.glob("ledger/runs/0001/settled.*"):
            record.unlink()
        done = invoke("run", job.config)
    assert done.code == 1
    assert "do not close" in done.err
    assert job.results().report["state"] == "failed"


def test_answers_without_keys_stop_the_run_and_are_kept(
    project: Callable[..., Project],
) -> None:
    with emulator() as remote:
        job = project(remote.url).write(texts(30))
        remote.faults({"job": "*", "do": "no_keys"})
        with pytest.raises(RunFailedError, match="cannot be trusted"):
            run_with(job, lambda: None)
        jobs = len(remote.jobs())
        remote.faults()
        again = invoke("run", job.config)
        assert again.code == 1
        assert len(remote.jobs()) <= jobs + 1, "nothing is bought again by itself"
    assert list(job.run_dir.glob("quarantine/*.jsonl"))
    assert not job.results().parts
