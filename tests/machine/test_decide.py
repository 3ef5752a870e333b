"""From created to settled: polls, endings, children, the part, what is given back."""

from dataclasses import replace

import pytest

from reembed.core.records import Child, Claim, Need, Outcome, Settled
from reembed.machine import actions as act
from reembed.machine.reduce import CallFailed
from reembed.machine.snapshot import ShardRecords, state_of_shard
from reembed.machine.states import PendingOutcome

PART = "/run/vectors/part.parquet"
CHILD = Child(ordinals=((3, 4), (7, 9)), need=Need(usd_nano=7, tokens=30, jobs=1))


def created(play, **plan):
    game = play(plan=plan)
    game.until(act.Poll)
    return game


def test_polls_wait_for_their_interval_and_see_the_end(play):
    game = created(play)
    game.poll("PENDING")
    assert game.wait().until == 1010.0
    game.poll("RUNNING")
    assert game.wait().until == 1020.0
    game.poll("SUCCEEDED")
    assert game.next() == act.Join("0", "batches/1")


def test_a_lone_attempts_rows_are_the_part(play):
    game = created(play, rejects=0, chunks=20)
    game.poll("SUCCEEDED")
    game.end(act.Join, rows_uri=PART, tokens={"text": 300})
    game.step(act.Release, kind="end", epoch=1)
    game.step(act.DeleteInput, file="files/0")
    settled = game.step(act.RecordSettled).settled
    assert settled == Settled(
        generation=0, planned=20, rows=20, rejects=0, part=PART, jobs=1, attempts=1,
        tokens={"text": 300},
    )  # fmt: skip
    assert game.next() == act.Finished(settled)


def test_children_wait_then_go_the_same_way_and_all_rows_are_merged(play):
    game = created(play)
    game.poll("SUCCEEDED")
    game.end(act.Join, rows=17, rows_uri="/w/0", children={"0.0": CHILD}, delay_seconds=5.0)
    game.step(act.Release)
    game.step(act.DeleteInput)
    assert game.wait().until == 1005.0
    claim = game.step(act.MakeClaim)
    assert (claim.attempt, claim.epoch) == ("0.0", 1)
    assert game.step(act.Reserve).need == CHILD.need
    game.until(act.Poll)
    game.poll("SUCCEEDED")
    game.end(act.Join, rows=3, rows_uri="/w/0.0", job="batches/2")
    game.until(act.WritePart)
    game.step(act.WritePart)
    game.step(act.WriteRejects)
    settled = game.step(act.RecordSettled).settled
    assert (settled.rows, settled.rejects, settled.part) == (20, 2, "/run/WritePart")
    assert (settled.jobs, settled.attempts, settled.reject_codes) == (2, 2, {"empty": 2})
    assert [kind for kind in map(type, game.log) if kind is act.Create] == [act.Create] * 2


def test_a_shard_of_rejects_only_sends_nothing(play):
    game = play(plan={"requests": 0, "canaries": 0, "chunks": 3, "rejects": 3})
    game.step(act.WriteRejects)
    settled = game.step(act.RecordSettled).settled
    assert (settled.planned, settled.rows, settled.rejects, settled.part) == (3, 0, 3, "")
    assert (settled.jobs, settled.attempts) == (0, 0)


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED"])
def test_an_end_without_answers_is_judged(play, state):
    game = created(play)
    game.poll(state)
    assert game.next() == act.ClassifyFailure("0")


def test_an_answer_that_cannot_be_trusted_halts_and_records_nothing(play):
    game = created(play)
    game.poll("SUCCEEDED")
    game.step(act.Join, PendingOutcome(Outcome(state="QUARANTINED", job="b"), "no keys"))
    assert game.next() == act.Halt("0", "no keys")


def test_accepting_to_pay_again_is_for_what_was_on_record_when_the_price_was_shown(play):
    game = created(play)
    game.rules = replace(game.rules, accept_repay=True)
    game.poll("SUCCEEDED")
    game.step(act.Join, PendingOutcome(Outcome(state="QUARANTINED", job="b"), "no keys"))
    assert game.next() == act.Halt("0", "no keys")
    known = replace(game.state.attempts["0"], suspect="no keys")
    game.state = game.state.with_attempt(known)
    assert isinstance(game.next(), act.RecordOutcome)


def test_a_failing_poll_waits_and_does_not_spin(play):
    game = created(play)
    game.step(act.Poll, CallFailed(8.0))
    assert game.wait().until == 1008.0
    game.poll("RUNNING")
    game.wait()
    game.step(act.Poll, CallFailed(8.0))
    assert isinstance(game.next(), act.Wait)


def test_a_failing_deletion_waits_and_does_not_spin(play):
    game = created(play)
    game.poll("SUCCEEDED")
    game.end(act.Join, rows_uri=PART)
    game.step(act.Release)
    game.step(act.DeleteInput, CallFailed(4.0))
    assert game.wait().until == 1004.0
    game.step(act.DeleteInput)


def test_a_state_never_seen_has_finite_patience(play):
    game = created(play)
    for _ in range(3):
        game.poll("UNKNOWN")
        game.wait()
    game.after(3600.0)
    action = game.next()
    assert isinstance(action, act.Defer)
    assert "batches/1" in action.reason
    game = created(play)
    game.poll("UNKNOWN")
    game.wait()
    game.poll("RUNNING")
    game.after(3600.0)
    assert isinstance(game.next(), act.Poll)


def test_an_outcome_that_another_wrote_first_stands(play):
    game = created(play)
    game.poll("SUCCEEDED")
    game.step(act.Join, PendingOutcome(Outcome(state="SUCCEEDED", job="b", rows=20)))
    theirs = Outcome(state="SUCCEEDED", job="b", rows=17, children={"0.0": CHILD})
    game.step(act.RecordOutcome, theirs)
    assert game.state.attempts["0"].outcome == theirs
    assert "0.0" in game.state.attempts


def test_a_job_record_that_another_wrote_first_wins(play):
    game = play()
    game.until(act.Create)
    game.step(act.Create, game.created(job="batches/other"))
    assert game.next() == act.Poll("0", "batches/other")


def test_a_resumed_shard_reads_outcomes_and_never_computes_them_again(play):
    done = Outcome(state="SUCCEEDED", job="b", rows=17, rows_uri="/w/0", children={"0.0": CHILD})
    game = play(ShardRecords(outcomes={"0": done}))
    assert sorted(game.state.attempts) == ["0", "0.0"]
    assert game.state.attempts["0.0"].need == CHILD.need
    claim = game.step(act.MakeClaim)
    assert claim.attempt == "0.0"


def test_what_a_killed_process_had_reserved_is_released_by_the_next(play):
    done = Outcome(state="SUCCEEDED", job="b", rows=20, rows_uri=PART)
    first = play()
    game = play(ShardRecords(outcomes={"0": done}, created={"0": first.created()}))
    name = f"{game.state.plan.shard}/0"
    game.write(kind="reserve", attempt=name, epoch=3, need=Need(jobs=1))
    assert game.step(act.Release) == act.Release("0", 3, "end")
    game.step(act.DeleteInput)
    game.step(act.WriteRejects)
    game.step(act.RecordSettled)


def test_a_release_that_met_a_later_epochs_line_is_made_again(play):
    done = Outcome(state="SUCCEEDED", job="b", rows=20, rows_uri=PART)
    game = play(ShardRecords(outcomes={"0": done}, created={"0": play().created()}))
    name = f"{game.state.plan.shard}/0"
    game.write(kind="reserve", attempt=name, epoch=1, need=Need(usd_nano=70, jobs=1))
    # The log holds a line of epoch 2 that was not read yet: it stands, and is read now.
    later = {"kind": "reserve", "attempt": name, "epoch": 2, "need": Need(usd_nano=70, jobs=1)}
    game.step(act.Release, lambda: game.write(**later), epoch=1)
    game.step(act.Release, epoch=2, kind="end")
    assert (game.shared.reservations.live, game.shared.reservations.usd_nano) == ({}, 70)


def test_what_another_reserved_since_the_log_was_read_is_released_too(play):
    game = play(ShardRecords(claims={"0": {1: Claim(holder="you", epoch=1)}}))
    name = f"{game.state.plan.shard}/0"
    game.after(40.0)
    done = Outcome(state="SUCCEEDED", job="b", rows=20, rows_uri=PART)
    records = game.records(outcomes={"0": done}, created={"0": game.created()})
    game.state = state_of_shard(game.state.plan, records, game.shared.now, game.state)
    line = {"kind": "reserve", "attempt": name, "epoch": 1, "need": Need(jobs=1)}
    game.step(act.RefreshReservations, lambda: game.write(**line))
    game.step(act.Release, epoch=1, kind="end")


def test_a_settled_shard_is_finished_at_once(play):
    settled = Settled(generation=0, planned=22, rows=20, rejects=2)
    assert play(ShardRecords(settled=settled)).next() == act.Finished(settled)


def test_one_attempt_that_waits_does_not_hold_up_another(play):
    children = {f"0.{k}": CHILD for k in range(3)}
    game = play(ShardRecords(outcomes={"0": Outcome(state="FAILED", job="b", children=children)}))
    game.step(act.MakeClaim, attempt="0.0")
    game.step(act.Reserve, CallFailed(50.0))
    game.step(act.MakeClaim, attempt="0.1")
    for kind in (act.Reserve, act.Prepare, act.Upload, act.ReloadRecords, act.Create):
        game.step(kind, attempt="0.1")
    game.poll("RUNNING")
    game.step(act.MakeClaim, attempt="0.2")


def test_a_shard_is_left_only_when_nothing_of_it_runs(play):
    children = {"0.0": CHILD, "0.1": CHILD}
    game = play(ShardRecords(outcomes={"0": Outcome(state="FAILED", job="b", children=children)}))
    while not (isinstance(game.next(), act.Poll)):
        game.step(type(game.next()))
    game.poll("RUNNING")
    game.shared = replace(game.shared, halted="because")
    game.wait()
    game.poll("SUCCEEDED")
    game.end(act.Join, rows=3, rows_uri="/w/0.0")
    game.step(act.Release)
    game.step(act.DeleteInput)
    assert game.next() == act.Defer("creating has stopped")
