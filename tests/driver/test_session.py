"""A lane as a worker drives it: what it opens, what it says of a key or an old claim."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import orjson

from reembed.core.records import Claim
from reembed.driver.session import drive_lane, quotas_of
from reembed.machine.snapshot import root_need

SHARD = "00000000-000000"


def test_a_key_that_is_refused_ends_the_lane_with_the_remedy(site):
    run = site(6, emulator={"expected_key": "another-key"})
    # The environment of the tests holds another key, or none.
    assert list(drive_lane(run.session, 0, 1)) == []
    note = run.storage.read(run.layout.progress(1, 0))
    assert b"check GEMINI_API_KEY" in note
    assert run.jobs() == []


def test_drive_lane_closes_what_it_opened(site):
    run = site(12, batch={"max_requests": 6})
    threads = set(threading.enumerate())
    # Sockets left open would be a ResourceWarning, and so an error.
    settled = dict(drive_lane(run.session, 0, 1))
    assert len(settled) == len(run.plans)
    left = {t for t in threading.enumerate() if t.name.startswith("reembed")} - threads
    assert left == set()
    assert len(dict(drive_lane(run.session, 1, 2))) == 1


def _claimed_days_ago(run, days):
    """Somebody claimed the shard, reserved, and was never heard of again."""
    context = run.context()
    context.ledger.claim(SHARD, "0", Claim(holder="gone", epoch=1))
    quotas, need = quotas_of(run.config), root_need(run.plans[0])
    assert context.spend.reserve(f"{SHARD}/0", 1, need, quotas, lambda: 0.0)
    for path in Path(run.config.run_dir).rglob("0.e1.claim"):
        then = time.time() - days * 86400
        os.utime(path, (then, then))


def test_a_claim_older_than_the_job_list_fails_the_call_and_names_the_shard(site):
    run = site(4, batch={"job_list_days": 3})
    _claimed_days_ago(run, 4)
    assert list(drive_lane(run.session, 0, 1)) == []
    note = orjson.loads(run.storage.read(run.layout.progress(1, 0)))
    assert SHARD in note["failed"]
    assert "--assume-lost" in note["failed"]
    assert run.jobs() == []


def test_what_is_assumed_to_be_lost_is_sent_again_and_stays_counted(site):
    run = site(4, batch={"job_list_days": 3}, jumps=True)
    _claimed_days_ago(run, 4)
    run.session = replace(run.session, assume_lost=True)
    context = run.context()
    assert run.drive(context)[SHARD].rows == 4
    assert len(run.jobs()) == 1
    reservations = context.spend.read()
    assert (reservations.live, reservations.usd_nano) == ({}, 2 * run.plans[0].usd_nano)


def test_a_claim_of_some_days_is_taken_over_while_its_job_would_be_listed(site):
    run = site(4, batch={"job_list_days": 5}, jumps=True)
    _claimed_days_ago(run, 4)
    assert run.drive()[SHARD].rows == 4
