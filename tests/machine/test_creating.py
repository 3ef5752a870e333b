"""From planned to created: claims, reservations, fences, lost replies, take-over."""

from dataclasses import replace
from itertools import pairwise

import pytest

from reembed.core.names import input_file_name
from reembed.core.records import Claim, Need, Outcome
from reembed.machine import actions as act
from reembed.machine.adaptive_quota import LONGEST_PATIENCE, Bound, Ceiling
from reembed.machine.epochs import MAX_RECORD_AGE
from reembed.machine.reduce import CallFailed, CreateUnanswered, SendRefused
from reembed.machine.rules import ListedJob
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import PendingOutcome, Prepared

SHARD = "00000000-000003"
GONE = 120.0 + 60.0 + 30.0
THEIRS = {"0": {1: Claim(holder="you", epoch=1)}}


def foreign(age, **more):
    return ShardRecords(claims=THEIRS, ages={("0", 1): age}, **more)


def found(job, created="2026-01-01T00:00:00Z", epoch=1):
    name = input_file_name("files/", "run1", SHARD, "0", epoch)
    return ListedJob(SHARD, "0", job, "run1/s/0/f", created, name)


def kinds(game):
    return [type(action).__name__ for action in game.log]


def test_the_way_of_a_file(play):
    game = play()
    game.until(act.Poll)
    assert kinds(game) == ["MakeClaim", "Reserve", "Prepare", "Upload", "ReloadRecords", "Create"]
    assert game.log[-1] == act.Create("0", 1, inline=False)
    assert game.log[1].need == Need(
        usd_nano=70, tokens=500, jobs=1, input_bytes=5000, result_bytes=9000
    )


def test_the_way_of_an_inline_job(play):
    game = play(inline="inline")
    game.until(act.Poll)
    assert kinds(game) == ["MakeClaim", "Reserve", "Prepare", "ReloadRecords", "Create"]
    assert game.log[-1].inline
    assert game.log[1].need == Need(usd_nano=70, tokens=500, jobs=1)


@pytest.mark.parametrize(
    ("plan", "echo", "inline"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"wire_bytes": 4_000_001}, True, False),
        ({"result_bytes": 4_000_001}, True, False),
    ],
)
def test_auto_is_inline_only_for_a_small_job_where_metadata_comes_back(play, plan, echo, inline):
    game = play(plan=plan, inline="auto", metadata_echo=echo)
    assert game.until(act.Create).inline is inline


def test_a_look_that_is_too_old_is_taken_again(play):
    game = play()
    game.until(act.Create)
    game.after(MAX_RECORD_AGE + 0.1)
    game.step(act.ReloadRecords)
    game.step(act.Create)


def test_a_look_that_was_frozen_in_the_middle_says_nothing_of_now(play):
    game = play(inline="inline")
    game.until(act.ReloadRecords)
    began = game.shared.now
    game.after(10_000.0)
    game.step(act.ReloadRecords, game.records(records_read_at=began))
    assert not isinstance(game.next(), act.Create)


def test_a_missed_create_is_looked_at_again(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, CallFailed(0.0))
    game.after(MAX_RECORD_AGE * 2)
    assert isinstance(game.next(), act.ReloadRecords)


def test_a_lease_that_ran_out_gives_all_back_and_starts_again(play):
    game = play()
    game.until(act.ReloadRecords)
    game.step(act.ReloadRecords, game.records(ages={("0", 1): 121.0}))
    game.step(act.DeleteInput, file="files/0-1")
    game.step(act.Release, kind="void", epoch=1)
    game.step(act.ReleaseClaim, reason="the lease ran out before the create")
    game.step(act.MakeClaim, Claim(holder="me", epoch=2), epoch=2)


def test_a_lost_claim_is_looked_at_and_waited_for(play):
    game = play()
    game.step(act.MakeClaim, "lost")
    game.step(act.ReloadRecords, foreign(3.0))
    # Its holder may be done at any time, so it is looked at now and then.
    assert game.next() == act.Wait(1000.0 + 100.0)
    game.wait()
    game.step(act.ReloadRecords, foreign(103.0, created={"0": game.created()}))
    assert isinstance(game.next(), act.Poll)


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


def test_being_overtaken_while_uploading_creates_nothing(play):
    game = play()
    game.until(act.ReloadRecords)
    two = {"0": {1: Claim(holder="me", epoch=1), 2: Claim(holder="you", epoch=2)}}
    game.step(act.ReloadRecords, ShardRecords(claims=two, ages={("0", 1): 400.0, ("0", 2): 5.0}))
    assert isinstance(game.next(), act.Wait)
    assert game.state.attempts["0"].local.uploaded == ""


def test_a_refused_reservation_leaves_a_void_and_releases_nothing(play):
    game = play()
    game.step(act.MakeClaim, Claim(holder="me", epoch=1))
    game.step(act.Reserve, "full")
    game.step(act.ReleaseClaim, epoch=1)
    game.step(act.MakeClaim, Claim(holder="me", epoch=2), epoch=2)


def test_a_429_gives_everything_back_and_goes_on_after_what_the_service_said(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, SendRefused("quota", 40.0))
    game.step(act.DeleteInput, file="files/0-1")
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim, reason="quota")
    assert game.next() == act.Wait(1040.0)
    game.wait()
    game.step(act.MakeClaim, Claim(holder="me", epoch=2), epoch=2)
    # Nothing was sent in a void epoch: no fence, no scan.
    assert isinstance(game.next(), act.Reserve)
    assert game.shared.reservations.usd_nano == 0


def test_a_refused_upload_gives_back_without_a_file(play):
    game = play()
    game.until(act.Upload)
    game.step(act.Upload, SendRefused("no", 0.0))
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim)


@pytest.mark.parametrize("halted", [True, False])
@pytest.mark.parametrize(
    ("reached", "then"),
    [
        (act.MakeClaim, []),
        (act.Reserve, [act.ReleaseClaim]),
        (act.Prepare, [act.Release, act.ReleaseClaim]),
        (act.Upload, [act.Release, act.ReleaseClaim]),
        (act.ReloadRecords, [act.DeleteInput, act.Release, act.ReleaseClaim]),
        (act.Create, [act.DeleteInput, act.Release, act.ReleaseClaim]),
    ],
)
def test_a_stop_or_halt_is_heeded_at_every_step_before_the_create(play, reached, then, halted):
    game = play()
    game.until(reached)
    game.shared = replace(game.shared, stopped=not halted, halted="because" if halted else "")
    for kind in then:
        game.step(kind)
    # A halt is this process's and leaves; a stop is the user's and ends what was never sent.
    if halted:
        assert game.next() == act.Defer("creating has stopped")
        return
    # Another may go on meanwhile, unless the next epoch is taken for good.
    game.step(act.MakeClaim, epoch=2 if then else 1, sealed="stopped")
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", "stopped")


def test_a_stop_is_not_final_when_the_look_shows_that_another_sent(play):
    game = play()
    game.until(act.Upload)
    game.shared = replace(game.shared, stopped=True)
    game.step(act.Release)
    game.step(act.ReleaseClaim)
    game.step(act.MakeClaim, "lost", sealed="stopped")
    theirs = game.created("0", 2)
    game.step(act.ReloadRecords, ShardRecords(created={"0": theirs}))
    assert isinstance(game.next(), act.Poll)


def closed(sealed, *lower, voids=(), age=5.0):
    """Claims of others: open ones to send, and one above them that closes the attempt."""
    top = max(lower, default=0) + 1
    claims = {epoch: Claim(holder="you", epoch=epoch) for epoch in lower}
    claims[top] = Claim(holder="them", epoch=top, sealed=sealed)
    ages = {("0", epoch): age for epoch in claims}
    return ShardRecords(
        claims={"0": claims}, ages=ages, voids=frozenset(("0", epoch) for epoch in voids)
    )


@pytest.mark.parametrize("sealed", ["ended", "stopped", "split"])
def test_a_closing_claim_whose_holder_is_gone_decides_for_everybody(play, sealed):
    # Nobody is waited for, and the stop may have been lifted since: the claim says what follows.
    game = play(closed(sealed, 1, 2, voids=[2]))
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs)
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", sealed)
    record = game.end(
        act.ClassifyFailure, state="NOT_SENT", job="", rows=0, rejects=20, errors_uri="/e"
    )
    assert game.state.attempts["0"].outcome == record
    assert not [a for a in game.log if isinstance(a, act.MakeClaim | act.Create | act.Reserve)]


def test_a_closed_attempt_of_which_nothing_was_sent_is_judged_at_once(play):
    game = play(closed("split", 1, voids=[1]))
    assert game.next() == act.ClassifyFailure("0", "split")


@pytest.mark.parametrize("sealed", ["ended", "stopped", "split"])
@pytest.mark.parametrize("form", ["file", "inline"])
def test_a_job_of_an_epoch_below_a_closing_claim_is_adopted(play, sealed, form):
    game = play(closed(sealed, 1), inline=form)
    game.step(act.Fence, epoch=1)
    game.wait()
    job = (
        found("batches/4")
        if form == "file"
        else ListedJob(SHARD, "0", "batches/4", "run1/s/0/f", "2026")
    )
    game.step(act.ListJobs, lambda: game.saw(job))
    action = game.step(act.RecordCreated)
    assert (action.created.job, action.created.epoch) == ("batches/4", 1)
    assert isinstance(game.next(), act.Poll)


def test_who_looks_before_the_send_and_sees_a_closing_claim_sends_nothing(play):
    game = play()
    game.until(act.ReloadRecords)
    game.step(act.ReloadRecords, closed("stopped", 1))
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs)
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", "stopped")


def test_a_closing_claim_is_finished_by_a_process_that_may_create_nothing_itself(play):
    game = play(closed("split"))
    game.shared = replace(game.shared, halted="because", stopped=True)
    game.end(act.ClassifyFailure, state="NOT_SENT", job="", rows=0)
    assert game.state.attempts["0"].outcome is not None


def test_a_job_too_large_for_the_quota_is_closed_before_it_is_split(play):
    game = play(quotas={"tokens": 499})
    game.step(act.MakeClaim, epoch=1, sealed="split")
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", "split")


def test_a_stop_that_is_lifted_after_the_closing_claim_changes_nothing(play):
    game = play()
    game.shared = replace(game.shared, stopped=True)
    game.step(act.MakeClaim, epoch=1, sealed="stopped")
    game.shared = replace(game.shared, stopped=False)
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", "stopped")


def test_the_cap_leaves_and_a_busy_quota_waits_and_reads_the_log_again(play):
    game = play(quotas={"max_usd_nano": 69})
    assert game.next() == act.Defer("the budget is used up")
    game = play(quotas={"tokens": 600})
    game.write(kind="reserve", attempt="other/0", epoch=1, need=Need(tokens=101))
    assert game.wait().until == 1010.0
    game.step(act.RefreshReservations)
    game.write(kind="void", attempt="other/0", epoch=1)
    assert isinstance(game.next(), act.MakeClaim)


def test_the_log_is_read_ever_more_rarely_while_nothing_moves_in_it(play):
    game = play(quotas={"tokens": 600})
    game.write(kind="reserve", attempt="other/0", epoch=1, need=Need(tokens=101))
    reads = []
    while len(reads) < 12:
        if isinstance(game.next(), act.Wait):
            # Room that this process gives back itself is seen soon all the same.
            assert game.wait().until <= game.shared.now + 10.0
        else:
            game.step(act.RefreshReservations)
            reads.append(game.shared.now - 1000.0)
    gaps = [after - before for before, after in pairwise(reads)]
    assert reads[0] == 10.0
    assert gaps == sorted(gaps)
    assert gaps[-1] == 100.0
    game.write(kind="reserve", attempt="third/0", epoch=1, need=Need(tokens=1))
    start = game.shared.now
    game.wait()
    game.step(act.RefreshReservations)
    assert game.shared.now == start + 10.0


def test_room_in_a_log_that_stands_still_is_not_waited_for_for_ever(play):
    # As it is when the holder of a shard that this call has left, or never had, is dead.
    game = play(quotas={"tokens": 600})
    game.write(kind="reserve", attempt="other/0", epoch=1, need=Need(tokens=101))
    began = game.shared.now
    while not isinstance(left := game.next(), act.Defer):
        if isinstance(left, act.Wait):
            game.wait()
        else:
            game.step(act.RefreshReservations)
    assert 72 * 3600.0 < game.shared.now - began < 73 * 3600.0
    assert "other/0" in left.reason
    assert not left.fails
    game.write(kind="reserve", attempt="third/0", epoch=1, need=Need(tokens=1))
    assert isinstance(game.next(), act.Wait)


def test_an_old_book_is_read_before_a_shard_is_left_for_the_cap(play):
    game = play(quotas={"max_usd_nano": 69})
    game.after(11.0)
    assert isinstance(game.next(), act.RefreshReservations)


def test_nothing_that_can_be_sent_is_judged_and_gives_back_all(play):
    game = play()
    game.until(act.Prepare)
    game.step(act.Prepare, Prepared("/scratch/requests", 0, 0))
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim, reason="nothing could be rendered")
    assert game.shared.reservations.usd_nano == 0
    game.step(act.MakeClaim, epoch=2, sealed="ended")
    assert game.state.attempts["0"].rendered_epoch == 1
    game.step(act.ReloadRecords)
    record = game.end(
        act.ClassifyFailure, state="NOT_SENT", job="", rows=0, rejects=20, errors_uri="/e"
    )
    assert record.state == "NOT_SENT"
    game.step(act.WriteRejects)
    settled = game.step(act.RecordSettled).settled
    assert (settled.rows, settled.rejects, settled.jobs, settled.planned) == (0, 22, 0, 22)


def test_who_could_render_nothing_does_not_speak_for_a_later_epoch(play):
    game = play()
    game.until(act.Prepare)
    game.step(act.Prepare, Prepared("/scratch/requests", 0, 0))
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim)
    game.step(act.MakeClaim, "lost", epoch=2, sealed="ended")
    two = {"0": {1: Claim(holder="me", epoch=1), 2: Claim(holder="you", epoch=2)}}
    game.step(act.ReloadRecords, ShardRecords(claims=two, voids=frozenset({("0", 1), ("0", 2)})))
    # The other gave up before it rendered: what it found is not known, so it is rendered again.
    game.step(act.MakeClaim, epoch=3, sealed="")


WEEK = 7 * 86400.0


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


def test_a_missed_step_waits_and_is_done_again(play):
    game = play()
    game.until(act.Upload)
    game.step(act.Upload, CallFailed(7.0))
    assert game.wait().until == 1007.0
    game.step(act.Upload, CallFailed(7.0))
    assert game.state.attempts["0"].local.failures == 2
    game.wait()
    game.step(act.Upload, "files/x")
    assert game.state.attempts["0"].local.failures == 0


def test_an_answer_that_is_gone_halts(play):
    game = play()
    game.until(act.Poll)
    game.step(act.Poll, PendingOutcome(Outcome(state="RESULT_LOST", job="b"), "RESULT_LOST: gone"))
    assert game.next() == act.Halt("0", "RESULT_LOST: gone")


def held(play, seconds=40.0, **more):
    game = play(hold_input=300.0, **more)
    game.until(act.Create)
    game.step(act.Create, SendRefused("quota", seconds, quota=True))
    return game


def test_a_429_keeps_the_uploaded_input_and_gives_back_the_room(play):
    game = held(play)
    met = game.shared.now
    game.step(act.Release, kind="void")
    assert game.shared.reservations.used(0).jobs == 0
    assert game.wait().until == met + 40.0
    game.step(act.Reserve, epoch=1)
    game.step(act.ReloadRecords)
    assert game.step(act.Create).epoch == 1
    assert kinds(game).count("Upload") == 1
    assert not {"ReleaseClaim", "DeleteInput"} & set(kinds(game))


def test_a_pause_that_the_log_tells_is_waited_for_too(play):
    game = held(play)
    game.step(act.Release)
    game.write(kind="refused", attempt="x/0", epoch=1, at=game.shared.storage_now, retry_after=90.0)
    until = game.shared.now + 90.0
    while game.shared.now < until:
        game.wait()
    assert game.shared.now == until
    game.step(act.Reserve)


def gap(game, seconds=0.0):
    """Another job leaves 400 of 1,000 tokens, too few for this shard of 500."""
    need = {"tokens": 600, "jobs": 1}
    game.write(kind="reserve", attempt="x/0", epoch=1, need=need)
    now = game.shared.now
    game.shared = replace(
        game.shared,
        refreshed_for=f"{SHARD}/0",
        reservations_changed_at=now - seconds,
        reservations_read_at=now,
    )


def test_a_gap_that_only_its_size_leaves_is_filled_by_a_piece_once_all_is_quiet(play):
    game = play(quotas={"tokens": 1000})
    gap(game, seconds=39.0)
    assert isinstance(game.next(), act.Wait)
    gap(game, seconds=41.0)
    assert game.next() == act.MakeClaim("0", 1, "split")
    # Who did not read the log last leaves it to whoever did.
    game.shared = replace(game.shared, refreshed_for="y/0")
    assert isinstance(game.next(), act.Wait)


def test_one_request_is_not_cut_and_a_small_gap_is_left(play):
    game = play(quotas={"tokens": 1000}, plan={"requests": 1, "canaries": 0})
    gap(game, seconds=100.0)
    assert isinstance(game.next(), act.Wait)
    game = play(quotas={"tokens": 610})
    gap(game, seconds=100.0)
    assert isinstance(game.next(), act.Wait)


def test_one_request_above_a_lowered_ceiling_waits_until_it_rises(play):
    game = play(plan={"requests": 1, "canaries": 0})
    lowered = replace(game.shared.quotas, largest_job=499)
    game.shared = replace(game.shared, quotas=lowered, reservations_read_at=game.shared.now)
    # Nothing has lowered it, so nothing will raise it.
    assert isinstance(game.next(), act.Defer)
    now = game.shared.storage_now
    long_ago = now - LONGEST_PATIENCE - 1
    for at, patience, expected in (
        (now, LONGEST_PATIENCE, act.Wait),
        (long_ago, LONGEST_PATIENCE / 2, act.Wait),
        (long_ago, LONGEST_PATIENCE, act.Defer),
    ):
        ceiling = Ceiling(largest_job=Bound(499, at, patience=patience))
        game.shared = replace(
            game.shared, reservations=replace(game.shared.reservations, ceiling=ceiling)
        )
        assert isinstance(game.next(), expected)


def test_a_shard_above_what_the_service_takes_is_cut(play):
    game = play()
    game.shared = replace(game.shared, quotas=replace(game.shared.quotas, largest_job=499))
    assert game.next() == act.MakeClaim("0", 1, "split")


def test_a_wait_beyond_the_hold_gives_the_input_up(play):
    game = held(play, seconds=301.0)
    game.step(act.DeleteInput)
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim)


def test_refusals_in_a_row_are_held_together_for_so_long_only(play):
    game = held(play, seconds=200.0)
    game.step(act.Release)
    game.wait()
    game.step(act.Reserve)
    game.step(act.ReloadRecords)
    game.step(act.Create, SendRefused("quota", 200.0, quota=True))
    game.step(act.DeleteInput)


def test_a_held_job_waits_for_room_that_others_took_and_gives_up_at_the_cap(play):
    game = held(play, quotas={"jobs": 1, "max_usd_nano": 100})
    game.step(act.Release)
    game.write(kind="reserve", attempt="other/0", epoch=1, need=Need(usd_nano=30, jobs=1))
    game.wait()
    game.step(act.RefreshReservations)
    game.wait()
    game.write(kind="end", attempt="other/0", epoch=1)
    assert isinstance(game.next(), act.Reserve)
    game.write(kind="reserve", attempt="more/0", epoch=1, need=Need(usd_nano=70))
    game.step(act.DeleteInput)
    game.step(act.ReleaseClaim)


def test_a_held_job_that_is_above_the_lowered_ceiling_is_given_up_to_be_split(play):
    game = held(play)
    game.shared = replace(game.shared, quotas=replace(game.shared.quotas, tokens=100))
    game.step(act.DeleteInput)
    game.step(act.Release)
    game.step(act.ReleaseClaim)
    game.after(40.0)
    game.step(act.MakeClaim, epoch=2, sealed="split")
    game.step(act.ReloadRecords)
    assert game.next() == act.ClassifyFailure("0", "split")


@pytest.mark.parametrize("how", [{"stopped": True}, {"halted": "because"}])
def test_a_held_job_is_taken_back_on_a_stop(play, how):
    game = held(play)
    game.step(act.Release)
    game.shared = replace(game.shared, **how)
    game.step(act.DeleteInput)
    game.step(act.ReleaseClaim)


def test_a_holder_that_was_overtaken_while_it_waited_does_not_create(play):
    game = held(play)
    game.step(act.Release)
    game.wait()
    game.step(act.Reserve)
    claims = {"0": {1: Claim(holder="me", epoch=1), 2: Claim(holder="you", epoch=2)}}
    game.step(act.ReloadRecords, game.records(claims=claims, ages={("0", 2): 1.0}))
    assert not isinstance(game.next(), act.Create)


def test_a_holder_that_was_frozen_beyond_its_lease_gives_up(play):
    game = held(play)
    game.step(act.Release)
    game.wait()
    game.step(act.Reserve)
    game.step(act.ReloadRecords, game.records(ages={("0", 1): 121.0}))
    game.step(act.DeleteInput)


def test_an_inline_job_has_nothing_to_hold(play):
    game = play(hold_input=300.0, inline="inline")
    game.until(act.Create)
    game.step(act.Create, SendRefused("quota", 40.0, quota=True))
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim)
