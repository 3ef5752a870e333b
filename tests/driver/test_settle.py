"""One part from the rows of all attempts, in the order of the input."""

from __future__ import annotations

SHARD = "00000000-000000"


def keys(count):
    return [f"doc-{index:05}" for index in range(count)]


def test_failed_rows_go_on_as_a_child_attempt_and_are_merged_in_order(site):
    run = site(30, batch={"input": "inline"}, jumps=True)
    # Row 7 of the wire holds request 7; a child attempt has no canaries.
    run.faults({"job": 1, "do": "fail_rows", "rows": [3, 7, 20], "code": 13})
    settled = run.drive()[SHARD]
    rows = run.rows()
    assert [row["key"] for row in rows] == keys(30)
    retried = [row["key"] for row in rows if row["attempt"] == "0.0"]
    assert len(retried) == 3
    assert [job["total"] for job in run.jobs()] == [31, 3]
    assert (settled.rows, settled.rejects, settled.jobs, settled.attempts) == (30, 0, 2, 2)
    assert settled.part == run.layout.part(1, SHARD)
    assert run.outcomes()["000000/0"]["delay_seconds"] == 5.0
