"""The cap holds over resumes, redrives and runners at once, and says what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from e2e.harness import Done, Project, Remote, emulator, invoke, start, texts
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import open_run_dir
from support.waiting import DEADLINE

ITEMS = 40
SETTINGS = {"batch": {"max_requests": 12}}


@pytest.fixture
def fresh() -> Iterator[Remote]:
    with emulator() as served:
        yield served


def reserved(job: Project) -> int:
    """Billionths of a dollar, over all calls."""
    return ReservationLog(open_run_dir(str(job.run_dir)), 1).read().usd_nano


def at_the_cap(done: Done, left: int) -> str:
    """Check that a run left at its cap; returns the cap that it asks for."""
    assert done.code == 75, done.err
    assert "because the budget is used up" in done.err
    assert f"the {left} jobs that are left cost up to $0.0000" in done.err
    return done.err.split("--max-usd ")[1].split()[0]


def test_the_cap_holds_over_resumes_and_redrives_and_says_what_goes_on(
    project: Callable[..., Project], fresh: Remote
) -> None:
    job = project(fresh.url, **SETTINGS).write(texts(ITEMS))
    plan = invoke("plan", job.config, "--json").json()
    half = f"{plan['usd_batch'] * 0.6:.7f}"
    fresh.faults({"job": 1, "do": "fail_rows", "rows": [1, 4], "code": 3})
    for command in ("run", "advance", "run"):
        cap = at_the_cap(invoke(command, job.config, "--max-usd", half), left=2)
        assert reserved(job) <= float(half) * 1e9
        assert len(fresh.jobs()) == 2
    done = invoke("run", job.config, "--max-usd", cap)
    assert done.code == 0, done.err
    assert len(fresh.jobs()) == 4
    assert reserved(job) <= float(cap) * 1e9
    report = job.results().report
    assert report["rejects"] == 2
    assert report["usd"] <= report["usd_reserved"] <= float(cap)

    more = at_the_cap(invoke("redrive", job.config, "--max-usd", cap), left=1)
    assert len(fresh.jobs()) == 4
    again = invoke("redrive", job.config, "--max-usd", more)
    assert again.code == 2
    assert "is not settled; `reembed run` goes on with it" in again.err
    assert invoke("run", job.config, "--max-usd", more).code == 0
    assert len(fresh.jobs()) == 5
    assert job.results().report["rejects"] == 0
    assert reserved(job) <= float(more) * 1e9


def test_two_runners_share_one_cap(project: Callable[..., Project], fresh: Remote) -> None:
    job = project(fresh.url, **SETTINGS).write(texts(ITEMS))
    plan = invoke("plan", job.config, "--json").json()
    cap = f"{plan['usd_batch'] * 0.6:.7f}"
    assert invoke("submit", job.config, "--max-usd", "0").code == 75
    both = [start("run", job.config, "--max-usd", cap) for _ in range(2)]
    ended = [process.communicate(timeout=DEADLINE)[1] for process in both]
    assert [process.returncode for process in both] == [75, 75], ended
    assert len(fresh.jobs()) == 2
    assert reserved(job) <= float(cap) * 1e9
    assert (
        invoke("status", job.config, "--json").json()["rows"]
        == fresh.jobs()[0]["billed_rows"] + fresh.jobs()[1]["billed_rows"] - 2
    ), "one canary a job"
    assert invoke("run", job.config).code == 0
    assert sum(found["billed_rows"] for found in fresh.jobs()) == ITEMS + 4
