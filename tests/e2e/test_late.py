"""A job that reads failed and ends well later: collected where it can be, else reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from e2e.harness import Project, Remote, emulator, invoke, texts

ITEMS = 12


@pytest.fixture
def served() -> Iterator[Remote]:
    with emulator(pending_seconds=0) as remote:
        yield remote


def test_the_scheduler_collects_what_read_failed_and_ended_well(
    project: Callable[..., Project], served: Remote
) -> None:
    # Its input stays: a job that only seems to have ended may not have read it yet.
    kept = {"on": "files.delete", "do": "status", "status": 400}
    served.faults(kept, {"job": 1, "do": "seems_ended", "seconds": 3600})
    job = project(served.url).write(texts(ITEMS))
    assert invoke("submit", job.config).code == 75
    served.advance(3600)
    done = invoke("advance", job.config)
    assert done.code == 0, done.err
    report = job.results().report
    assert (report["rows"], report["jobs"], report["uncollected_jobs"]) == (ITEMS, 1, [])
    assert len(served.jobs()) == 1
    assert {row["job"] for row in job.results().rows()} == {served.jobs()[0]["name"]}


def test_what_ends_well_after_it_was_bought_again_is_reported_and_not_used(
    project: Callable[..., Project], served: Remote
) -> None:
    kept = {"on": "files.delete", "do": "status", "status": 400}
    served.faults(kept, {"job": 1, "do": "seems_ended", "seconds": 5})
    job = project(served.url).write(texts(ITEMS))
    done = invoke("run", job.config)
    assert done.code == 0, done.err
    first, second = served.jobs()
    report = job.results().report
    late = [(each["job"], each["recorded"]) for each in report["uncollected_jobs"]]
    assert late == [(first["name"], "FAILED")]
    assert f"ended well too late: {first['name']}" in done.out
    assert {row["job"] for row in job.results().rows()} == {second["name"]}
    assert report["usd_reserved"] >= report["usd"]


def test_what_ends_well_after_the_settlement_is_reported_by_the_next_call(
    project: Callable[..., Project], served: Remote
) -> None:
    kept = {"on": "files.delete", "do": "status", "status": 400}
    served.faults(kept, {"job": 1, "do": "seems_ended", "seconds": 3600})
    job = project(served.url).write(texts(ITEMS))
    assert invoke("run", job.config).code == 0
    assert job.results().report["uncollected_jobs"] == []
    served.advance(3600)
    done = invoke("run", job.config)
    assert done.code == 0, done.err
    first = served.jobs()[0]["name"]
    assert [late["job"] for late in job.results().report["uncollected_jobs"]] == [first]
    assert f"ended well too late: {first}" in done.out
    assert len(served.jobs()) == 2
