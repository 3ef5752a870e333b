"""From planned to created: claims, reservations, fences, lost replies, take-over."""

from dataclasses import replace

import pytest

from machine.shards import SHARD, closed, foreign, found, held, kinds
from reembed.core.records import Claim, Need, Outcome
from reembed.machine import actions as act
from reembed.machine.epochs import MAX_RECORD_AGE
from reembed.machine.reduce import CallFailed, SendRefused
from reembed.machine.rules import ListedJob
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import PendingOutcome, Prepared


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
