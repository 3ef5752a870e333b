"""The counts of a run: they close, or the run fails with the numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.harness import Project, emulator, invoke, run_with, texts
from reembed.errors import RunFailedError
from reembed.runs.report import Counts, require_closed

GOOD = Counts(planned=10, rows=7, rejects=2, skipped=1, shards=3, settled=3)


def test_counts_that_close() -> None:
    assert GOOD.closes
    require_closed(GOOD)


@pytest.mark.parametrize("name", ["planned", "rows", "rejects", "skipped"])
@given(by=st.sampled_from([-2, -1, 1, 5]))
def test_one_number_off_fails_the_run_and_names_them_all(name: str, by: int) -> None:
    off = replace(GOOD, **{name: getattr(GOOD, name) + by})
    assert not off.closes
    with pytest.raises(RunFailedError, match="do not use this output") as caught:
        require_closed(off)
    for value in (off.planned, off.rows, off.rejects, off.skipped):
        assert str(value) in str(caught.value)


def test_an_unsettled_shard_does_not_close() -> None:
    assert not replace(GOOD, settled=2).closes


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
