"""Jobs without answers: malformed, expired, cancelled, stuck, or whose input was gone."""

from __future__ import annotations

import threading
from dataclasses import replace

from reembed.driver.lane import UnsettledShard
from reembed.providers.base import RemoteError
from support.waiting import wait_until

SHARD = "00000000-000000"


def keys(count):
    return [f"doc-{index:05}" for index in range(count)]


def test_a_malformed_job_is_cut_down_to_the_poison_row(site):
    run = site(40, jumps=True)
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
    run = site(chunks, jumps=True)
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
    run = site(chunks, jumps=True)
    poisoned = Poisoned(run.service(), b'number 17"')
    settled = run.drive(run.context(poisoned))[SHARD]
    rejects = {r["key"]: (r["reason"], r["attempt"]) for r in run.rejects()}
    assert rejects["doc-00003"] == ("request_malformed", "0")
    assert rejects["doc-00017"][0] == "request_refused"
    assert rejects["doc-00017"][1].startswith("0.0.")
    assert (settled.rows, settled.rejects) == (18, 2)


def test_a_job_whose_input_file_was_gone_is_sent_again_whole(site):
    run = site(10, jumps=True)
    run.faults({"job": 1, "do": "fail_job", "code": 5, "message": "The input file is gone."})
    run.drive()
    # A retry has no canaries.
    assert [job["total"] for job in run.jobs()] == [11, 10]
    assert {row["attempt"] for row in run.rows()} == {"0.0"}


def test_an_expired_job_is_planned_again(site):
    run = site(10, emulator={"pending_seconds": 3600.0}, batch={"max_attempts": 2}, jumps=True)
    late = threading.Thread(target=_let_jobs_pass, args=(run, [49 * 3600, 3600]))
    late.start()
    run.drive()
    late.join()
    assert [job["state"] for job in run.jobs()] == ["BATCH_STATE_EXPIRED", "BATCH_STATE_SUCCEEDED"]
    assert len(run.rows()) == 10


def test_a_cancelled_job_is_never_bought_again(site):
    run = site(10, emulator={"pending_seconds": 1.0}, jumps=True)
    context = run.context()
    run.faults({"job": 1, "do": "state", "state": "CANCELLED"})
    settled = run.drive(context)[SHARD]
    assert (settled.rows, settled.rejects) == (0, 10)
    assert {r["reason"] for r in run.rejects()} == {"cancelled"}
    run.drive()
    assert len(run.jobs()) == 1


def test_three_malformed_jobs_in_a_row_stop_the_run(site):
    # Shards of many requests: none is cut down to single ones before the third job is back.
    run = site(80, batch={"max_requests": 21}, jumps=True)
    run.faults({"job": "*", "do": "fail_job", "code": 3, "message": "Unknown field."})
    results = run.drive()
    assert all(isinstance(result, UnsettledShard) for result in results.values())
    assert "refused as malformed" in run.halted
    # Those that were on their way when the third came back, and no pieces without end.
    assert len(run.jobs()) <= 12 + 3 * 5


def test_a_state_that_is_not_known_is_waited_for_and_then_left(site):
    run = site(6, batch={"stuck_hours": 0.01}, jumps=True)
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


def test_an_input_that_expired_before_its_job_began_is_uploaded_again(site):
    run = site(40, emulator={"pending_seconds": 0.5}, jumps=True)
    run.drive(run.context(Expiring(run.service())))
    # The emulator takes the input when the job begins, and says code 5: never a split.
    assert [job["state"] for job in run.jobs()] == ["BATCH_STATE_FAILED", "BATCH_STATE_SUCCEEDED"]
    assert [job["total"] for job in run.jobs()] == [41, 40]
    assert run.count("upload.finalize") == 2
    assert "not found or has expired" in run.outcomes()["000000/0"]["cause"]
    assert len(run.rows()) == 40


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


def _let_jobs_pass(run, waits):
    """Move the emulator's clock on as each next job is there."""
    for count, seconds in enumerate(waits, start=1):
        wait_until(lambda n=count: len(run.jobs()) >= n, f"job {count} is created")
        run.advance(seconds)
