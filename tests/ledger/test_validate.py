"""Records that name what they must not: nothing outside the run directory is read or written."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.core.plans import PartitionPlan, PlanSummary
from reembed.core.records import Commit, Outcome, Settled
from reembed.errors import RunFailedError
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.validate import validate_record
from reembed.machine.snapshot import ShardRecords
from reembed.storage.open import open_storage

SHARD = "00000003-000007"
PART = f"part-0001-{SHARD}.parquet"
NEED = {"usd_nano": 0, "tokens": 0, "jobs": 1, "input_bytes": 0, "result_bytes": 0}
LEADING_OUT = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "gs://somebody/else.parquet",
    f"/elsewhere/vectors/../{PART}",
    f"/run/vectors/part-0001-{SHARD}.parquet/../../x",
    "/run/vectors/part-0001-00000003-000008.parquet",
    "/run/vectors/part-0002-00000003-000007.parquet",
    f"/run/work/0001/{SHARD}/../../../x.rows.parquet",
    f"/run/work/0001/{SHARD}/0.ff.rows.parquet\n",
    "/run/work/0001/00000003-000008/0.ff.rows.parquet",
    f"vectors/{PART}",
    " ",
]
ODD_NAMES = ["", ".", "..", "../x", "a/b", "/etc", "a\\..\\b", "a\n", "a\0", "x" * 65, "é", "a b"]


def write(ledger: Ledger, file: str, body: dict[str, Any]) -> None:
    name = ledger.layout.shard_records(1, SHARD) + file
    open_storage().create(name, json.dumps({"schema": 2, **body}).encode())


@pytest.mark.parametrize("uri", LEADING_OUT)
@pytest.mark.parametrize("field", ["rows_uri", "errors_uri"])
def test_an_outcome_names_no_file_but_its_shards(ledger: Ledger, field: str, uri: str) -> None:
    write(ledger, "0.outcome", {"state": "SUCCEEDED", "job": "batches/b", field: uri})
    with pytest.raises(RunFailedError, match=r"0\.outcome names .* restore the run directory"):
        ledger.look(SHARD)


@pytest.mark.parametrize("uri", [*LEADING_OUT, f"/run/work/0001/{SHARD}/0.ff.rows.parquet"])
@pytest.mark.parametrize("field", ["part", "reject_part"])
def test_a_settlement_names_no_file_but_its_shards(ledger: Ledger, field: str, uri: str) -> None:
    body = {"generation": 0, "planned": 1, "rows": 1, "rejects": 0, field: uri}
    write(ledger, "settled.g0", body)
    with pytest.raises(RunFailedError, match=r"settled\.g0 names"):
        ledger.look(SHARD)
    with pytest.raises(RunFailedError, match=r"settled\.g0 names"):
        list(ledger.load([SHARD], brief=True))


@pytest.mark.parametrize("uri", LEADING_OUT)
def test_a_rollup_names_no_file_but_its_shards(ledger: Ledger, uri: str) -> None:
    settled = {"generation": 0, "planned": 1, "rows": 1, "rejects": 0, "part": uri}
    rollup(ledger, {SHARD: {"settled": settled}})
    with pytest.raises(RunFailedError, match=r"rollups/00000003\.g0 names"):
        list(ledger.load([SHARD]))


def rollup(ledger: Ledger, shards: dict[str, Any]) -> None:
    body = {"schema": 2, "generation": 0, "shards": shards}
    open_storage().create(ledger.layout.rollup(1, "00000003", 0), json.dumps(body).encode())


@pytest.mark.parametrize("shard", ["00000004-000001", "../../../x", ""])
def test_a_rollup_holds_its_own_shards(ledger: Ledger, shard: str) -> None:
    settled = {"generation": 0, "planned": 1, "rows": 1, "rejects": 0}
    rollup(ledger, {shard: {"settled": settled}})
    with pytest.raises(RunFailedError, match=r"rollups/00000003\.g0"):
        list(ledger.load([SHARD]))


def test_what_lies_where_it_must_is_found_also_after_a_move(ledger: Ledger) -> None:
    run_dir = ledger.layout.run_dir
    rows = f"/before/run/work/0001/{SHARD}/0.3.00ff.rows.parquet"
    errors = f"gs://before/run/work/0001/{SHARD}/0.3.00ff.rejects.parquet"
    body = {"state": "SUCCEEDED", "job": "b", "rows_uri": rows, "errors_uri": errors}
    write(ledger, "0.3.outcome", body)
    write(
        ledger,
        "settled.g0",
        {
            "generation": 0,
            "planned": 2,
            "rows": 1,
            "rejects": 1,
            "part": f"/before/run/vectors/{PART}",
            "reject_part": f"/before/run/rejects/{PART}",
        },
    )
    records = ledger.look(SHARD)
    outcome, settled = records.outcomes["0.3"], records.settled
    assert settled is not None
    assert outcome.rows_uri == f"{run_dir}/work/0001/{SHARD}/0.3.00ff.rows.parquet"
    assert outcome.errors_uri == f"{run_dir}/work/0001/{SHARD}/0.3.00ff.rejects.parquet"
    assert (settled.part, settled.reject_part) == (
        ledger.layout.part(1, SHARD),
        ledger.layout.rejects(1, SHARD),
    )


@given(st.text() | st.sampled_from(LEADING_OUT))
def test_no_text_leads_outside(uri: str) -> None:
    layout = Layout("/run/here")
    name = layout.shard_records(1, SHARD) + "0.outcome"
    try:
        found = validate_record(Outcome(state="S", job="b", rows_uri=uri), name, layout, 1).rows_uri
    except RunFailedError:
        return
    assert found == "" or Path(found).resolve().is_relative_to("/run/here")


@pytest.mark.parametrize("path", ["../../x", "0/../../x", "1.0", "0", "0.0.0", "", "0.\n", "0.-1"])
def test_a_child_is_its_parents(ledger: Ledger, path: str) -> None:
    child = {"ordinals": [[0, 1]], "need": NEED}
    write(ledger, "0.outcome", {"state": "FAILED", "job": "b", "children": {path: child}})
    with pytest.raises(RunFailedError, match=r"0\.outcome"):
        ledger.look(SHARD)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_commit_names_no_folder_elsewhere(name: str) -> None:
    good = {
        "schema": 2, "number": 1, "run": "r", "plan": "p", "digest": "d", "planned": 1,
        "items": 1, "frozen": {}, "key_salt": "s", "key_hash": "h",
    }  # fmt: skip
    assert Commit.decode(json.dumps(good).encode(), "commit").plan == "p"
    for field in ("run", "plan"):
        with pytest.raises(RunFailedError, match="not a Commit record"):
            Commit.decode(json.dumps({**good, field: name}).encode(), "commit")


@pytest.mark.parametrize(
    "name", [*ODD_NAMES, "00000003-7", "00000003-000007\n", "../00000003-000007"]
)
def test_a_partition_names_no_shard_elsewhere(name: str) -> None:
    shard = {
        "shard": name, "chunks": 1, "requests": 1, "canaries": 0, "rejects": 0, "tokens": {},
        "wire_bytes": 1, "result_bytes": 1, "usd_nano": 1, "fingerprint": "00ff",
    }  # fmt: skip
    body = {"schema": 2, "partition": 3, "shards": [shard], "totals": {}}
    with pytest.raises(RunFailedError, match="not a PartitionPlan record"):
        PartitionPlan.decode(json.dumps(body).encode(), "partition")
    shard["shard"] = SHARD
    assert PartitionPlan.decode(json.dumps(body).encode(), "partition").shards[0].shard == SHARD


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_plan_names_no_folder_elsewhere(name: str) -> None:
    body = {"plan": name, "name": "n", "frozen": {}, "items": 0, "totals": {}, "partitions": []}
    with pytest.raises(RunFailedError, match="not a PlanSummary record"):
        PlanSummary.decode(json.dumps({"schema": 2, "digest": "d", **body}).encode(), "plan")


@pytest.mark.parametrize(
    "file",
    ["..", "0.outcome~", "0.outcome.bak", ".0.created", "٣.created", "0.e1.claim.tmp", "settled.g"],
)
def test_a_file_that_is_no_record_is_passed_over(ledger: Ledger, file: str) -> None:
    folder = ledger.layout.shard_records(1, SHARD)
    if "://" in folder:
        open_storage().put(f"{folder}{file}", b"{")
    else:
        Path(folder).mkdir(parents=True)
        if file != "..":
            (Path(folder) / file).write_text("{")
    assert ledger.look(SHARD) == ShardRecords()


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_any_bytes_are_a_record_or_an_error_of_ours(data: bytes) -> None:
    for kind in (Commit, Outcome, Settled, PartitionPlan, PlanSummary):
        with contextlib.suppress(RunFailedError):
            assert kind.decode(data, "name").version == 2
