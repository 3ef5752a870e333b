"""Answers with failed, missing, doubled and shuffled rows, and those that came late."""

import pytest

from reembed.core.records import Settled
from reembed.driver.context import Context
from reembed.driver.lane import UnsettledShard
from support.waiting import wait_until

SHARD = "00000000-000000"


def keys(count):
    return [f"doc-{index:05}" for index in range(count)]


def test_rows_that_fail_for_good_are_rejects_with_the_services_words(site):
    run = site(30, jumps=True)
    run.faults(
        {"job": "*", "do": "fail_rows", "rows": [2], "code": 3, "message": "No such picture."}
    )
    settled = run.drive()[SHARD]
    rejects = run.rejects()
    assert [(r["reason"], r["message"], r["attempt"]) for r in rejects] == [
        ("invalid_argument", "No such picture.", "0")
    ]
    assert len(run.rows()) == 29
    assert len(run.jobs()) == 1
    assert (settled.rows, settled.rejects) == (29, 1)
    assert settled.reject_codes == {"invalid_argument": 1}


def test_a_row_that_always_fails_is_a_reject_after_the_last_attempt(site):
    run = site(10, batch={"max_attempts": 2}, jumps=True)
    run.faults({"job": "*", "do": "fail_rows", "rows": [0], "code": 14})
    run.drive()
    assert [(r["reason"], r["attempt"]) for r in run.rejects()] == [("unavailable", "0.0")]
    assert [job["total"] for job in run.jobs()] == [11, 1]


def test_missing_lines_are_asked_for_once_more(site):
    run = site(30, jumps=True)
    run.faults(
        {"job": 1, "do": "drop_rows", "rows": [1, 2]}, {"job": 2, "do": "drop_rows", "rows": [1]}
    )
    run.drive()
    assert [job["total"] for job in run.jobs()] == [31, 2]
    assert len(run.rows()) == 29
    assert [(r["reason"], r["attempt"]) for r in run.rejects()] == [("missing", "0.0")]


def test_shuffled_and_doubled_lines_join(site):
    run = site(30, emulator={"shuffle_results": True}, jumps=True)
    run.faults({"job": 1, "do": "double_rows", "every": 3})
    run.drive()
    assert [row["key"] for row in run.rows()] == keys(30)
    plain = site(30, emulator={"shuffle_results": False}, jumps=True)
    plain.drive()
    assert [r["embedding"] for r in plain.rows()] == [r["embedding"] for r in run.rows()]


@pytest.mark.parametrize(
    "damage",
    [{"do": "no_keys"}, {"do": "scramble_keys"}, {"do": "short_row", "dimensions": 64}],
    ids=lambda damage: damage["do"],
)
def test_an_answer_that_cannot_be_trusted_is_kept_and_nothing_is_paid_again(site, damage):
    run = site(40, batch={"max_requests": 17, "concurrent_jobs": 1}, jumps=True)
    run.faults({"job": 1, **damage})
    results = run.drive()
    assert [r for r in results.values() if isinstance(r, Settled)] == []
    assert "cannot be trusted" in run.halted
    assert "nothing more is bought" in run.halted
    kept = run.layout.quarantine(1, SHARD, "0")
    answer = run.storage.read(kept)
    assert answer.count(b"\n") == 17
    assert (len(run.jobs()), run.billed()) == (1, 17)
    run.drive()
    assert (len(run.jobs()), run.billed()) == (1, 17)
    assert run.storage.read(kept) == answer
    assert run.rows() == []


def test_one_inline_answer_without_its_key_joins_and_two_do_not(site):
    run = site(1, batch={"input": "inline"}, emulator={"echo_metadata": False})
    assert run.drive()[SHARD].rows == 1
    assert run.rows()[0]["key"] == "doc-00000"
    more = site(2, batch={"input": "inline"}, emulator={"echo_metadata": False})
    more.drive()
    assert "keyless: 3 of 3 lines have no key" in more.halted
    filed = site(1, batch={"input": "file"})
    filed.faults({"job": 1, "do": "no_keys"})
    filed.drive()
    assert "keyless: 1 of 1 lines have no key" in filed.halted


def test_others_are_collected_after_an_answer_that_cannot_be_trusted(site):
    run = site(40, batch={"max_requests": 17}, emulator={"pending_seconds": 0.6}, jumps=True)
    run.faults({"job": 1, "do": "no_keys"})
    results = run.drive()
    assert sorted(type(r).__name__ for r in results.values()) == [
        "Settled",
        "Settled",
        "UnsettledShard",
    ]
    assert len(run.jobs()) == 3


def test_a_lost_result_stops_buying_and_leaves_the_others_their_results(site):
    run = site(12, batch={"max_requests": 6}, emulator={"pending_seconds": 0.6}, jumps=True)
    run.faults({"on": "files.download", "do": "status", "status": 404, "nth": 1})
    results = run.drive()
    assert sorted(type(r).__name__ for r in results.values()) == [
        "Settled",
        "Settled",
        "UnsettledShard",
    ]
    assert "RESULT_LOST" in run.halted
    bought = len(run.jobs())
    run.drive()
    assert len(run.jobs()) == bought


# What seems to have failed may not have begun, and then still needs its input.
KEPT = {"on": "files.delete", "do": "status", "status": 400}


def until_well(context: Context) -> None:
    """The service takes a moment to end what its clock says is over."""
    wait_until(
        lambda: all(job.state == "SUCCEEDED" for job in context.service.list_jobs()),
        "every job has succeeded",
    )


def test_a_job_that_reads_failed_and_ends_well_later_is_collected_not_bought_again(site):
    run = site(10)
    run.faults({"job": 1, "do": "seems_ended", "seconds": 3600}, KEPT)
    context = run.context()
    assert [type(r) for r in run.drive(context, one_round=True).values()] == [UnsettledShard]
    assert run.outcomes()["000000/0"]["state"] == "FAILED"
    run.advance(3600)
    until_well(context)
    settled = run.drive(context)[SHARD]
    assert (len(run.jobs()), run.billed()) == (1, 11)
    assert [row["key"] for row in run.rows()] == keys(10)
    assert {(r["attempt"], r["job"]) for r in run.rows()} == {("0.0", run.jobs()[0]["name"])}
    assert (settled.rows, settled.jobs, settled.attempts) == (10, 1, 2)
    # The canary's tokens are the job's too.
    assert settled.tokens == {"text": run.jobs()[0]["billed_tokens"]}
    reservations = context.spend.read()
    assert (reservations.usd_nano, reservations.live) == (run.plans[0].usd_nano, {})
    record = context.ledger.look(SHARD).created["0.0"]
    assert (record.made_for, record.job) == ("0", run.jobs()[0]["name"])


def test_pieces_of_a_split_share_the_job_that_ended_well_later(site):
    # What is left under the cap pays for no piece.
    run = site(40, budget={"max_usd": 0.0001})
    run.faults(
        KEPT,
        {"job": 1, "do": "seems_ended", "seconds": 3600, "code": 3},
        {"job": 1, "do": "fail_rows", "rows": [7], "code": 3},
    )
    context = run.context()
    assert [r.reason for r in run.drive(context).values()] == ["the budget is used up"]
    assert len(run.outcomes()["000000/0"]["children"]) == 14
    run.advance(3600)
    until_well(context)
    settled = run.drive(context)[SHARD]
    assert len(run.jobs()) == 1
    assert (settled.rows, settled.rejects, settled.jobs) == (39, 1, 1)
    assert len({row["attempt"] for row in run.rows()}) == 14
    assert [reject["reason"] for reject in run.rejects()] == ["invalid_argument"]
    kept = sorted([*(r["key"] for r in run.rows()), run.rejects()[0]["key"]])
    assert kept == keys(40)
    assert settled.tokens == {"text": run.jobs()[0]["billed_tokens"]}


def test_a_late_answer_is_verified_as_a_whole_before_any_piece_is_taken(site):
    # In the order of the wire the original changes places with its neighbour, the canary with none.
    run = site(40, emulator={"shuffle_results": False}, budget={"max_usd": 0.0001})
    run.faults(
        KEPT,
        {"job": 1, "do": "seems_ended", "seconds": 3600, "code": 3},
        {"job": 1, "do": "scramble_keys"},
    )
    run.drive()
    run.advance(3600)
    until_well(run.context())
    results = run.drive()
    assert [type(r) for r in results.values()] == [UnsettledShard]
    assert "cannot be trusted: canary_differs" in run.halted
    assert (len(run.jobs()), run.rows()) == (1, [])


def test_a_result_that_was_lost_and_is_there_again_is_collected_by_the_next_call(site):
    run = site(10, jumps=True)
    run.faults({"on": "files.download", "do": "status", "status": 404, "nth": 1})
    run.drive()
    assert "RESULT_LOST" in run.halted
    settled = run.drive()[SHARD]
    assert (settled.rows, len(run.jobs())) == (10, 1)
    run.drive()
    assert run.halted == ""
