"""Jobs that end badly: failed, missing, doubled and shuffled rows, failed and expired jobs."""

import threading
from dataclasses import replace

import pytest

from reembed.core.records import Settled
from reembed.driver.context import Context
from reembed.driver.lane import UnsettledShard
from reembed.providers.base import RemoteError
from support.waiting import wait_until

SHARD = "00000000-000000"


def keys(count):
    return [f"doc-{index:05}" for index in range(count)]


def test_failed_rows_go_on_as_a_child_attempt_and_are_merged_in_order(site):
    run = site(30, batch={"input": "inline"}, speed=10)
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


def test_rows_that_fail_for_good_are_rejects_with_the_services_words(site):
    run = site(30, speed=10)
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
    run = site(10, batch={"max_attempts": 2}, speed=10)
    run.faults({"job": "*", "do": "fail_rows", "rows": [0], "code": 14})
    run.drive()
    assert [(r["reason"], r["attempt"]) for r in run.rejects()] == [("unavailable", "0.0")]
    assert [job["total"] for job in run.jobs()] == [11, 1]


def test_missing_lines_are_asked_for_once_more(site):
    run = site(30, speed=10)
    run.faults(
        {"job": 1, "do": "drop_rows", "rows": [1, 2]}, {"job": 2, "do": "drop_rows", "rows": [1]}
    )
    run.drive()
    assert [job["total"] for job in run.jobs()] == [31, 2]
    assert len(run.rows()) == 29
    assert [(r["reason"], r["attempt"]) for r in run.rejects()] == [("missing", "0.0")]


def test_shuffled_and_doubled_lines_join(site):
    run = site(30, emulator={"shuffle_results": True}, speed=10)
    run.faults({"job": 1, "do": "double_rows", "every": 3})
    run.drive()
    assert [row["key"] for row in run.rows()] == keys(30)
    plain = site(30, emulator={"shuffle_results": False}, speed=10)
    plain.drive()
    assert [r["embedding"] for r in plain.rows()] == [r["embedding"] for r in run.rows()]


@pytest.mark.parametrize(
    "damage",
    [{"do": "no_keys"}, {"do": "scramble_keys"}, {"do": "short_row", "dimensions": 64}],
    ids=lambda damage: damage["do"],
)
def test_an_answer_that_cannot_be_trusted_is_kept_and_nothing_is_paid_again(site, damage):
    run = site(40, batch={"max_requests": 17, "concurrent_jobs": 1}, speed=10)
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
    run = site(40, batch={"max_requests": 17}, emulator={"pending_seconds": 0.6}, speed=10)
    run.faults({"job": 1, "do": "no_keys"})
    results = run.drive()
    assert sorted(type(r).__name__ for r in results.values()) == [
        "Settled",
        "Settled",
        "UnsettledShard",
    ]
    assert len(run.jobs()) == 3


class Poisoned:
    """The service, refusing as malformed every job whose input holds a certain text."""

    def __init__(self, service, poison):
        self.service, self.poison = service, poison
        self.bad_files, self.bad_jobs = set(), set()

    def __getattr__(self, name):
        return getattr(self.service, name)

    def upload(self, path, name, mime_type):
        if self.poison in path.read_bytes():
            self.bad_files.add(name)
        return self.service.upload(path, name, mime_type)

    def create_from_file(self, model, display_name, file_name, priority):
        job = self.service.create_from_file(model, display_name, file_name, priority)
        if file_name in self.bad_files:
            self.bad_jobs.add(job.name)
        return job

    def get(self, name):
        job = self.service.get(name)
        if job.done and name in self.bad_jobs:
            return replace(job, state="FAILED", error=RemoteError(3, "Line 1 is bad."))
        return job


def test_a_malformed_job_is_cut_down_to_the_poison_row(site):
    run = site(40, speed=10)
    settled = run.drive(run.context(Poisoned(run.service(), b'number 17"')))[SHARD]
    # 40 requests and a canary: 14 pieces of up to three, and those of the one that is bad.
    assert sorted(job["total"] for job in run.jobs()) == [1, 1, 1, 1, *[3] * 13, 41]
    rejects = run.rejects()
    assert [(r["key"], r["reason"], r["attempt"]) for r in rejects] == [
        ("doc-00017", "request_refused", "0.5.2")
    ]
    assert "Line 1 is bad. (code 3)" in rejects[0]["message"]
    assert (settled.rows, settled.attempts) == (39, 18)
    assert [row["key"] for row in run.rows()] == [key for key in keys(40) if key != "doc-00017"]


def test_a_request_that_is_malformed_by_our_own_rules_is_found_without_a_split(site, text):
    chunks = [text(index) for index in range(40)]
    chunks[17] = replace(chunks[17], text=" ")
    chunks[23] = replace(chunks[23], tokens=9000)
    run = site(chunks, speed=10)
    run.faults({"job": 1, "do": "fail_job", "code": 3, "message": "Bad content."})
    settled = run.drive()[SHARD]
    # One job over what is left, instead of sixteen.
    assert [job["total"] for job in run.jobs()] == [41, 38]
    rejects = {r["key"]: r for r in run.rejects()}
    assert sorted(rejects) == ["doc-00017", "doc-00023"]
    assert {(r["reason"], r["stage"]) for r in rejects.values()} == {
        ("request_malformed", "submit")
    }
    assert "its text is empty" in rejects["doc-00017"]["message"]
    assert "9,000 tokens" in rejects["doc-00023"]["message"]
    assert "Bad content." in rejects["doc-00023"]["message"]
    assert (settled.rows, settled.rejects) == (38, 2)


def test_what_is_left_after_a_malformed_request_is_still_cut_down(site, text):
    chunks = [text(index) for index in range(20)]
    chunks[3] = replace(chunks[3], text=" ")
    run = site(chunks, speed=10)
    poisoned = Poisoned(run.service(), b'number 17"')
    settled = run.drive(run.context(poisoned))[SHARD]
    rejects = {r["key"]: (r["reason"], r["attempt"]) for r in run.rejects()}
    assert rejects["doc-00003"] == ("request_malformed", "0")
    assert rejects["doc-00017"][0] == "request_refused"
    assert rejects["doc-00017"][1].startswith("0.0.")
    assert (settled.rows, settled.rejects) == (18, 2)


def test_a_job_whose_input_file_was_gone_is_sent_again_whole(site):
    run = site(10, speed=10)
    run.faults({"job": 1, "do": "fail_job", "code": 5, "message": "The input file is gone."})
    run.drive()
    # A retry has no canaries.
    assert [job["total"] for job in run.jobs()] == [11, 10]
    assert {row["attempt"] for row in run.rows()} == {"0.0"}


def test_an_expired_job_is_planned_again(site):
    run = site(10, emulator={"pending_seconds": 3600.0}, batch={"max_attempts": 2}, speed=20)
    late = threading.Thread(target=_let_jobs_pass, args=(run, [49 * 3600, 3600]))
    late.start()
    run.drive()
    late.join()
    assert [job["state"] for job in run.jobs()] == ["BATCH_STATE_EXPIRED", "BATCH_STATE_SUCCEEDED"]
    assert len(run.rows()) == 10


def _let_jobs_pass(run, waits):
    """Move the emulator's clock on as each next job is there."""
    for count, seconds in enumerate(waits, start=1):
        wait_until(lambda n=count: len(run.jobs()) >= n, f"job {count} is created")
        run.advance(seconds)


def test_a_cancelled_job_is_never_bought_again(site):
    run = site(10, emulator={"pending_seconds": 1.0}, speed=10)
    context = run.context()
    run.faults({"job": 1, "do": "state", "state": "CANCELLED"})
    settled = run.drive(context)[SHARD]
    assert (settled.rows, settled.rejects) == (0, 10)
    assert {r["reason"] for r in run.rejects()} == {"cancelled"}
    run.drive()
    assert len(run.jobs()) == 1


def test_three_malformed_jobs_in_a_row_stop_the_run(site):
    run = site(60, batch={"max_requests": 6}, speed=10)
    run.faults({"job": "*", "do": "fail_job", "code": 3, "message": "Unknown field."})
    results = run.drive()
    assert all(isinstance(result, UnsettledShard) for result in results.values())
    assert "refused as malformed" in run.halted
    # Those that were on their way when the third came back, and no pieces without end.
    assert len(run.jobs()) <= 12 + 3 * 5


def test_a_lost_result_stops_buying_and_leaves_the_others_their_results(site):
    run = site(12, batch={"max_requests": 6}, emulator={"pending_seconds": 0.6}, speed=10)
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
    run = site(10, speed=10)
    run.faults({"on": "files.download", "do": "status", "status": 404, "nth": 1})
    run.drive()
    assert "RESULT_LOST" in run.halted
    settled = run.drive()[SHARD]
    assert (settled.rows, len(run.jobs())) == (10, 1)
    run.drive()
    assert run.halted == ""


def test_a_state_that_is_not_known_is_waited_for_and_then_left(site):
    run = site(6, batch={"stuck_hours": 0.01}, speed=40)
    run.faults({"job": 1, "do": "state", "state": "BATCH_STATE_REORGANIZING"})
    left = run.drive()[SHARD]
    assert isinstance(left, UnsettledShard)
    assert "a state that this version does not know" in left.reason
    assert len(run.jobs()) == 1


def test_a_job_pending_for_too_long_is_cancelled_and_sent_again_when_asked(site):
    run = site(
        6,
        batch={"stuck_hours": 0.0003, "on_stuck": "resubmit", "max_attempts": 2},
    )
    run.faults({"job": 1, "do": "stuck"})
    # The second job has all the time that it needs before the lane looks again.
    run.jump(lambda: len(run.jobs()) > 1 and run.wait_for_ends())
    settled = run.drive()[SHARD]
    states = [job["state"] for job in run.jobs()]
    assert states == ["BATCH_STATE_CANCELLED", "BATCH_STATE_SUCCEEDED"]
    assert (settled.rows, settled.attempts) == (6, 2)
    assert run.outcomes()["000000/0"]["state"] == "CANCELLED"


def test_a_job_pending_for_too_long_is_only_reported_otherwise(site):
    run = site(6, batch={"stuck_hours": 0.0001}, emulator={"pending_seconds": 1.5})
    settled = run.drive()[SHARD]
    assert settled.rows == 6
    assert [job["state"] for job in run.jobs()] == ["BATCH_STATE_SUCCEEDED"]


class Expiring:
    """The service, on which the first job's input file is gone before the job begins."""

    def __init__(self, service):
        self.service, self.jobs = service, 0

    def __getattr__(self, name):
        return getattr(self.service, name)

    def create_from_file(self, model, display_name, file_name, priority):
        job = self.service.create_from_file(model, display_name, file_name, priority)
        self.jobs += 1
        if self.jobs == 1:
            self.service.delete_file(file_name)
        return job


def test_an_input_that_expired_before_its_job_began_is_uploaded_again(site):
    run = site(40, emulator={"pending_seconds": 0.5}, speed=10)
    run.drive(run.context(Expiring(run.service())))
    # The emulator takes the input when the job begins, and says code 5: never a split.
    assert [job["state"] for job in run.jobs()] == ["BATCH_STATE_FAILED", "BATCH_STATE_SUCCEEDED"]
    assert [job["total"] for job in run.jobs()] == [41, 40]
    assert run.count("upload.finalize") == 2
    assert "not found or has expired" in run.outcomes()["000000/0"]["cause"]
    assert len(run.rows()) == 40
