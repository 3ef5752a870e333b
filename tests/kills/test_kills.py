"""A spread of the kill matrix: nothing paid twice, nothing lost, the output the same."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kills.bench import Benches, all_cases, benches
from kills.cases import Case, Verdict
from kills.matrix import spread
from kills.points import Point, kind_of_request, kind_of_write

# Whichever test is the first runs the spread for all of them.
pytestmark = pytest.mark.timeout(600)

# In this order a kind of point is taken from the first that has it; `rows` waits for its retries.
SCENARIOS = (
    "file",
    "inline",
    "quota",
    "refused",
    "slow",
    "rows-inline",
    "media",
    "two",
    "two-inline",
)
MORE = 1
WORKERS = 6

REQUESTS = {
    *((kind, how) for kind in ("list", "get", "download", "delete") for how in ("before", "after")),
    *((kind, "within") for kind in ("list", "get", "download", "delete")),
    *(
        (kind, how)
        for kind in ("upload start", "upload bytes", "create")
        for how in ("before", "midway", "after", "within")
    ),
}
WRITES = {
    (kind, how)
    for kind in (
        *("claim", "spend reserve", "spend end", "spend void", "created", "outcome", "settled"),
        *(
            "part",
            "attempt rows",
            "rejects",
            "attempt rejects",
            "void",
            "renewal",
            "unsent",
            "rollup",
        ),
    )
    for how in ("before", "after")
}


@pytest.fixture(scope="module")
def made() -> Iterator[Benches]:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="kills-", dir=memory if memory.is_dir() else None))
    try:
        with benches(folder, WORKERS, SCENARIOS) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def verdicts(made: Benches, request: pytest.FixtureRequest) -> list[Verdict]:
    """The spread, run once; its figures are printed past pytest's capture."""
    began = time.perf_counter()
    cases, first = all_cases(made, fast=True, wanted=lambda case: True)
    found = [*first, *made.run(spread(cases, MORE))]
    seconds = time.perf_counter() - began
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        whole = sum(map(len, cases.values()))
        print(f"\n{len(found)} cases of a matrix of {whole} in {seconds:.0f} s")
    return found


@pytest.mark.slow
def test_killed_anywhere_nothing_is_paid_twice_or_lost(verdicts: list[Verdict]) -> None:
    broken = [f"{v.case}: {problem}" for v in verdicts for problem in v.problems]
    assert not broken, "\n".join(broken)
    assert sum(v.paid.twice + len(v.paid.twins) + v.lost for v in verdicts) == 0


def test_each_kind_of_request_and_record_was_hit_on_each_side(verdicts: list[Verdict]) -> None:
    killed = {
        (v.case.points[-1].kind, v.case.points[-1].how)
        for v in verdicts
        if v.reached and v.case.points
    }
    assert not (REQUESTS | WRITES) - killed


def test_some_cases_went_on_by_several_calls_or_beside_another_runner(
    verdicts: list[Verdict],
) -> None:
    assert sum(v.reached and v.calls > 2 for v in verdicts) >= 3
    beside = [v for v in verdicts if v.case.scenario.startswith("two") and v.case.points]
    assert any(v.reached for v in beside)
    retried = [v for v in verdicts if any("/0.0/" in name for name in v.paid.jobs)]
    assert any(v.reached and v.case.points for v in retried)


PLANTED = [
    ("create_before_claim", "inline", Point("request", "create", 1, "after"), "jobs twice"),
    ("take_over_without_scan", "file", Point("request", "create", 1, "after"), "jobs twice"),
    ("take_over_without_scan", "inline", Point("write", "created", 1, "before"), "paid twice"),
    ("part_from_first_attempt", "rows-inline", Point("write", "claim", 1, "before"), "lost"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "scenario", "point", "finding"), PLANTED)
def test_a_planted_bug_is_reported(
    made: Benches, verdicts: list[Verdict], plant: str, scenario: str, point: Point, finding: str
) -> None:
    case = Case(scenario, (point,))
    (sound,) = made.run([case])
    assert not sound.problems
    (planted,) = made.run([replace(case, plant=plant)])
    assert planted.reached
    assert finding in {problem.kind for problem in planted.problems}


@pytest.mark.parametrize(
    ("method", "target", "headers", "kind"),
    [
        ("POST", "/upload/v1beta/files", {"x-goog-upload-command": "start"}, "upload start"),
        ("POST", "/upload/v1beta/files?id=1", {"x-goog-upload-command": "upload"}, "upload bytes"),
        ("POST", "/v1beta/models/m:asyncBatchEmbedContent", {}, "create"),
        ("GET", "/v1beta/batches?pageSize=100", {}, "list"),
        ("GET", "/v1beta/batches/abc", {}, "get"),
        ("POST", "/v1beta/batches/abc:cancel", {}, "cancel"),
        ("GET", "/download/v1beta/files/abc:download?alt=media", {}, "download"),
        ("DELETE", "/v1beta/files/abc", {}, "delete"),
        ("GET", "/v1beta/files/abc", {}, "other"),
    ],
)
def test_requests_are_told_apart(
    method: str, target: str, headers: dict[str, str], kind: str
) -> None:
    assert kind_of_request(method, target, headers) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ledger/commit.0001", "commit"),
        ("ledger/runs/0001/partitions/00000000/000001/0.0.e2.claim", "claim"),
        ("ledger/runs/0001/partitions/00000000/000001/0.e1.r12", "renewal"),
        ("ledger/runs/0001/partitions/00000000/000001/settled.g0", "settled"),
        ("ledger/runs/0001/settled.g0", "run settled"),
        ("ledger/runs/0001/rollups/00000000.g0", "rollup"),
        ("work/0001/00000000-000000/0.abc.rows.parquet", "attempt rows"),
        ("plans/abc/shards/00000000-000000.parquet", "plan shards"),
        ("something/new", "other"),
    ],
)
def test_writes_are_told_apart(name: str, kind: str) -> None:
    assert kind_of_write(name, b"") == kind
    assert kind_of_write("ledger/runs/0001/spend/000000007", b'{"kind": "end"}') == "spend end"
