"""Who may have sent in an epoch, how long ago, and whose a listed job is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from machine.shards import GONE, SHARD, WEEK, closed, foreign, found, kinds
from reembed.core.names import input_file_name
from reembed.core.records import Claim, Need
from reembed.machine import actions as act
from reembed.machine.epochs import MAX_RECORD_AGE
from reembed.machine.reduce import CreateUnanswered
from reembed.machine.rules import ListedJob
from reembed.machine.snapshot import ShardRecords


def test_a_foreign_claim_is_taken_over_only_when_its_holder_must_be_gone(play):
    game = play(foreign(50.0))
    game.wait()
    game.step(act.ReloadRecords, foreign(150.0))
    assert game.wait().until == 1000.0 + GONE - 50.0
    game.step(act.ListJobs)
    game.step(act.ReloadRecords, foreign(GONE))
    game.step(act.MakeClaim, Claim(holder="me", epoch=2), epoch=2)
    game.step(act.Fence, epoch=1)
    # What was taken before the file was deleted may become a job within the request's time.
    fenced = game.shared.now
    assert game.wait().until == fenced + 60.0 + 30.0
    game.step(act.ListJobs)
    game.until(act.Create)
    assert [a.epoch for a in game.log if isinstance(a, act.Reserve | act.Upload)] == [2, 2]


def test_a_renewed_claim_is_left_to_its_holder(play):
    game = play(foreign(GONE + 500))
    game.step(act.ListJobs)
    game.after(MAX_RECORD_AGE + 1)
    game.step(act.ReloadRecords, foreign(2.0))
    assert isinstance(game.next(), act.Wait)


def test_a_slow_listing_does_not_start_all_over(play):
    game = play(foreign(GONE + 500))
    game.saw()
    game.after(60.0)
    game.step(act.ReloadRecords, foreign(GONE + 560))
    # The listing began after the holder was gone, so it says enough.
    game.step(act.MakeClaim, Claim(holder="me", epoch=2))


@pytest.mark.parametrize("scanned", ["before", "never"])
def test_a_listing_of_before_the_holder_was_gone_says_nothing(play, scanned):
    game = play(foreign(GONE - 1))
    if scanned == "before":
        game.saw()
    game.after(2.0)
    assert isinstance(game.next(), act.ListJobs)


def test_the_oldest_job_of_the_name_is_adopted_whatever_the_order(play):
    game = play(foreign(GONE + 1))
    jobs = (found("batches/9", "2026-01-02"), found("batches/8", "2026-01-01"))
    game.step(act.ListJobs, lambda: game.saw(*jobs))
    action = game.step(act.RecordCreated)
    assert (action.created.job, action.created.adopted) == ("batches/8", True)
    assert action.created.input_file == input_file_name("files/", "run1", SHARD, "0", 1)


def test_a_job_of_a_lower_epoch_is_adopted_as_that_epochs(play):
    game = play(foreign(GONE + 1))
    game.step(act.ListJobs)
    game.step(act.MakeClaim, Claim(holder="me", epoch=2))
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs, lambda: game.saw(found("batches/7", epoch=1)))
    assert game.next().created.epoch == 1
    # An inline job names no file: the holder before us made it.
    inline = ListedJob(SHARD, "0", "batches/7", "run1/s/0/f", "2026")
    game.shared = replace(game.shared, listed_jobs={(SHARD, "0"): (inline,)})
    assert game.next().created.epoch == 1


def test_an_unanswered_create_is_looked_for_and_adopted(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, CreateUnanswered())
    game.wait()
    game.step(act.ListJobs, lambda: game.saw(found("batches/5")))
    game.step(act.RecordCreated)
    assert game.next() == act.Poll("0", "batches/5")
    assert kinds(game).count("Create") == 1


def test_an_unanswered_create_that_left_no_job_goes_on_in_the_next_epoch_behind_a_fence(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, CreateUnanswered())
    sent = game.shared.now
    game.wait()
    game.step(act.ListJobs)
    assert game.wait().until == sent + 60.0 + 30.0
    game.step(act.ListJobs)
    game.step(act.ReloadRecords)
    game.step(act.MakeClaim, Claim(holder="me", epoch=2), epoch=2)
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs)
    game.until(act.Poll)
    assert [a.epoch for a in game.log if isinstance(a, act.Create)] == [1, 2]
    assert not any(isinstance(a, act.Release | act.ReleaseClaim) for a in game.log)


def test_an_unanswered_create_is_still_looked_for_after_a_stop(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, CreateUnanswered())
    game.shared = replace(game.shared, stopped=True)
    game.wait()
    game.step(act.ListJobs)
    game.wait()
    game.step(act.ListJobs)
    game.step(act.ReloadRecords)
    game.step(act.MakeClaim, epoch=2, sealed="stopped")
    # The send may still be on its way: its file goes first, so that it can create nothing.
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs)
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", "stopped")


def test_every_lower_open_epoch_is_fenced_and_void_ones_are_not(play):
    claims = {"0": {e: Claim(holder="you", epoch=e) for e in (1, 2, 3)}}
    ages = {("0", e): GONE + 1 for e in (1, 3)}
    game = play(ShardRecords(claims=claims, ages=ages, voids=frozenset({("0", 2)})))
    game.step(act.ListJobs)
    game.step(act.MakeClaim, Claim(holder="me", epoch=4), epoch=4)
    game.step(act.Fence, epoch=1)
    game.step(act.Fence, epoch=3)
    assert isinstance(game.next(), act.Wait)


def test_a_claim_older_than_the_list_creates_nothing_until_the_user_says_so(play):
    game = play(foreign(WEEK))
    game.step(act.ListJobs)
    left = game.next()
    assert isinstance(left, act.Defer)
    assert left.fails
    assert SHARD in left.reason
    assert "--assume-lost" in left.reason
    # A stop does not make it certain that nothing was sent either.
    game.shared = replace(game.shared, stopped=True)
    assert game.next() == left


def test_a_claim_that_the_list_still_covers_is_taken_over_as_ever(play):
    game = play(foreign(WEEK - 3 * 3600.0))
    game.step(act.ListJobs)
    game.step(act.MakeClaim, epoch=2)


def test_an_old_claims_job_that_is_listed_all_the_same_is_adopted(play):
    game = play(foreign(WEEK * 2))
    game.step(act.ListJobs, lambda: game.saw(found("batches/4")))
    game.step(act.RecordCreated)


def test_what_is_assumed_to_be_lost_is_sent_again_and_its_dollars_stay(play):
    game = play(foreign(WEEK), assume_lost=True)
    name = f"{SHARD}/0"
    game.write(kind="reserve", attempt=name, epoch=1, need=Need(usd_nano=70, jobs=1))
    game.step(act.ListJobs)
    game.step(act.MakeClaim, Claim(holder="me", epoch=2), epoch=2)
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs)
    game.step(act.Release, kind="end", epoch=1)
    game.step(act.Reserve, epoch=2)
    game.until(act.Create)
    assert game.shared.reservations.usd_nano == 140


@pytest.mark.parametrize("assumed", [True, False])
def test_a_closed_attempt_with_an_old_claim_is_not_ended_by_itself(play, assumed):
    game = play(closed("stopped", 1, age=WEEK), assume_lost=assumed)
    name = f"{SHARD}/0"
    game.write(kind="reserve", attempt=name, epoch=1, need=Need(usd_nano=70, jobs=1))
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs)
    game.step(act.ReloadRecords)
    if not assumed:
        assert game.next().fails
        return
    game.step(act.Release, kind="end", epoch=1)
    game.end(act.ClassifyFailure, state="NOT_SENT", job="", rows=0)
    assert game.shared.reservations.usd_nano == 70


@pytest.mark.parametrize("sealed", [False, True])
def test_old_epochs_in_which_nothing_was_sent_are_no_problem(play, sealed):
    records = closed("stopped", 1, age=WEEK) if sealed else foreign(WEEK)
    game = play(replace(records, voids=frozenset({("0", 1)})))
    assert game.next() == (act.ClassifyFailure("0", "stopped") if sealed else act.MakeClaim("0", 2))


@pytest.mark.parametrize(("age", "asks"), [(WEEK, True), (86400.0, False)])
def test_an_old_claim_below_a_void_one_counts_from_the_scan_that_allowed_that(play, age, asks):
    claims = {"0": {e: Claim(holder="you", epoch=e) for e in (1, 2)}}
    game = play(ShardRecords(claims, {("0", 1): 2 * WEEK, ("0", 2): age}, frozenset({("0", 2)})))
    game.step(act.ListJobs)
    assert isinstance(game.next(), act.Defer if asks else act.MakeClaim)


def test_a_young_claim_above_an_old_one_was_made_on_a_scan_and_goes_on(play):
    claims = {"0": {e: Claim(holder="you", epoch=e) for e in (1, 2)}}
    game = play(ShardRecords(claims, {("0", 1): WEEK, ("0", 2): GONE + 1}))
    game.step(act.ListJobs)
    game.step(act.MakeClaim, epoch=3)
    for epoch in (1, 2):
        game.step(act.Fence, epoch=epoch)
    game.wait()
    game.step(act.ListJobs)
    game.until(act.Create)


def test_a_scan_of_long_ago_lets_nobody_claim(play):
    game = play(foreign(GONE + 1))
    game.step(act.ListJobs)
    game.after(2 * 3600.0)
    game.step(act.ListJobs)
    game.step(act.ReloadRecords, foreign(GONE + 7201))
    game.step(act.MakeClaim)


def test_a_process_that_slept_over_its_lost_reply_asks(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, CreateUnanswered())
    game.after(WEEK)
    game.step(act.ListJobs)
    game.step(act.ReloadRecords, game.records(ages={("0", 1): WEEK}))
    assert game.next().fails
