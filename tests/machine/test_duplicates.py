"""Jobs of one name that the ledger does not keep are reported, and foreign ones told apart."""

from __future__ import annotations

from reembed.core.records import Created
from reembed.machine.duplicates import DuplicateJob, find_duplicate_jobs, foreign_fingerprints
from reembed.machine.rules import ListedJob


def job(shard: str, name: str, fingerprint: str = "abcdef01") -> ListedJob:
    shown = f"run1/{shard}/0/{fingerprint}"
    return ListedJob(shard, "0", name, shown, state="RUNNING", fingerprint=fingerprint)


CREATED = {("s-1", "0"): Created(job="batches/1", display_name="run1/s-1/0/abcdef01", epoch=1)}


def test_the_job_that_is_kept_is_none() -> None:
    assert find_duplicate_jobs([job("s-1", "batches/1")], CREATED) == []


def test_a_second_job_and_a_stray_are_named_in_order() -> None:
    jobs = [job("s-2", "batches/9"), job("s-1", "batches/2"), job("s-1", "batches/1")]
    assert find_duplicate_jobs(jobs, CREATED) == [
        DuplicateJob("s-1", "0", "batches/2", "RUNNING", False, "batches/1"),
        DuplicateJob("s-2", "0", "batches/9", "RUNNING", False, ""),
    ]


def test_a_job_of_another_content_under_our_name_is_foreign() -> None:
    ours, theirs, unknown = job("s-1", "a"), job("s-1", "b", "99999999"), job("s-7", "c")
    fingerprints = {"s-1": "abcdef0123456789"}
    assert foreign_fingerprints([ours, theirs, unknown], fingerprints) == [theirs]
