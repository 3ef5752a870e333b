"""A job that ended well after its outcome said otherwise: taken by the attempt below, unpaid."""

from dataclasses import replace

import pytest

from reembed.core.records import Child, Claim, Created, Need, Outcome
from reembed.machine import actions as act
from reembed.machine.recovered import UncollectedJob, find_uncollected, recovered_job
from reembed.machine.rules import ListedJob
from reembed.machine.snapshot import ShardRecords

SHARD = "00000000-000003"
NEED = Need(usd_nano=30, tokens=9, jobs=1)
ONE = Child(ordinals=((0, 9),), need=NEED)


def created(job="batches/1", **more):
    return Created(job=job, display_name="n", epoch=1, input_file="files/0", **more)


def outcome(state="FAILED", job="batches/1", **children):
    named = {name.replace("a", "0").replace("_", "."): child for name, child in children.items()}
    return Outcome(state=state, job=job, children=named)


def records(state="FAILED", **more):
    ended = {"0": outcome(state, a_0=ONE)}
    return ShardRecords(**{"created": {"0": created()}, "outcomes": ended, **more})


def listing(game, state, job="batches/1", attempt="0"):
    game.saw(ListedJob(SHARD, "0", job, "n", "2026", "files/0", state), attempt=attempt)


@pytest.mark.parametrize("state", ["FAILED", "EXPIRED", "CANCELLED"])
def test_the_attempt_below_takes_the_job_under_a_claim_and_reserves_nothing(play, state):
    game = play(records(state), inline="file")
    game.write(kind="reserve", attempt=f"{SHARD}/0", epoch=1, need=NEED)
    game.write(kind="end", attempt=f"{SHARD}/0", epoch=1)
    listing(game, "SUCCEEDED")
    game.step(act.DeleteInput)
    game.step(act.MakeClaim, attempt="0.0", epoch=1)
    game.step(act.ReloadRecords)
    adopted = game.step(act.RecordCreated, attempt="0.0").created
    assert (adopted.job, adopted.made_for, adopted.epoch) == ("batches/1", "0", 1)
    assert adopted.adopted
    game.poll("SUCCEEDED")
    game.end(act.Join, rows=20)
    # The money that was kept for the job stands; none was taken beside it.
    assert (game.shared.reservations.usd_nano, game.shared.reservations.live) == (30, {})
    game.step(act.DeleteInput)
    game.step(act.WritePart)
    game.step(act.WriteRejects)
    assert game.step(act.RecordSettled).settled.jobs == 1


@pytest.mark.parametrize("how", ["stopped", "halted", "full", "capped"])
def test_neither_a_stop_nor_a_full_quota_keeps_a_late_job_from_being_collected(play, how):
    quotas = {"full": {"jobs": 0}, "capped": {"max_usd_nano": 1}}.get(how)
    game = play(records(), quotas=quotas)
    if how in ("stopped", "halted"):
        value = True if how == "stopped" else "because"
        game.shared = replace(game.shared, **{how: value})
    listing(game, "SUCCEEDED")
    game.step(act.DeleteInput)
    game.step(act.MakeClaim)
    game.step(act.ReloadRecords)
    assert game.next() == act.RecordCreated("0.0", created(made_for="0", adopted=True))


@pytest.mark.parametrize("state", ["FAILED", "RUNNING", "", "UNKNOWN"])
def test_a_job_that_still_reads_badly_is_bought_again(play, state):
    game = play(records())
    listing(game, state)
    assert game.until(act.Create).attempt == "0.0"


def test_another_job_of_that_name_is_not_taken_for_it(play):
    game = play(records())
    listing(game, "SUCCEEDED", job="batches/other")
    assert recovered_job(game.state, "0.0", game.shared) is None


def test_what_another_holder_claimed_is_waited_for_and_fenced_first(play):
    claims = {"0.0": {1: Claim(holder="you", epoch=1)}}
    game = play(records(claims=claims, ages={("0.0", 1): 0.0}))
    listing(game, "SUCCEEDED")
    game.step(act.DeleteInput)
    assert isinstance(game.next(), act.Wait)
    game = play(records(claims=claims, ages={("0.0", 1): 500.0}))
    listing(game, "SUCCEEDED")
    game.shared = replace(game.shared, listed_at=0.0)
    game.step(act.DeleteInput)
    game.step(act.ListJobs, lambda: listing(game, "SUCCEEDED"))
    game.step(act.MakeClaim, attempt="0.0", epoch=2)
    game.step(act.Fence, epoch=1)
    game.wait()
    game.step(act.ListJobs, lambda: listing(game, "SUCCEEDED"))
    game.step(act.ReloadRecords)
    assert game.step(act.RecordCreated).created.made_for == "0"


def test_a_job_of_ones_own_goes_before_a_late_one(play):
    game = play(records())
    own = ListedJob(SHARD, "0", "batches/2", "n", "2026", "files/1", "RUNNING")
    late = ListedJob(SHARD, "0", "batches/1", "n", "2026", "files/0", "SUCCEEDED")
    found = {(SHARD, "0"): (late,), (SHARD, "0.0"): (own,)}
    game.shared = replace(game.shared, listed_at=game.shared.now, listed_jobs=found)
    game.step(act.DeleteInput)
    adopted = game.step(act.RecordCreated, attempt="0.0").created
    assert (adopted.job, adopted.made_for) == ("batches/2", "")


def test_what_was_taken_for_a_create_goes_back_when_the_job_turns_out_well(play):
    game = play(records())
    listing(game, "FAILED")
    game.until(act.Create)
    listing(game, "SUCCEEDED")
    game.step(act.DeleteInput, file="files/0.0-1")
    game.step(act.Release, kind="void")
    game.step(act.ReleaseClaim)
    assert game.shared.reservations.live == {}
    game.step(act.MakeClaim, epoch=2)
    game.step(act.ReloadRecords)
    assert game.step(act.RecordCreated).created.made_for == "0"


def test_a_dead_holders_reservation_for_the_attempt_is_given_back_whole(play):
    game = play(records())
    game.write(kind="reserve", attempt=f"{SHARD}/0.0", epoch=1, need=NEED)
    listing(game, "SUCCEEDED")
    game.step(act.DeleteInput)
    game.step(act.MakeClaim)
    game.step(act.ReloadRecords)
    game.step(act.RecordCreated)
    game.poll("SUCCEEDED")
    game.end(act.Join, rows=20)
    game.step(act.Release, attempt="0.0", kind="void")
    assert game.shared.reservations.usd_nano == 0


def test_a_split_that_was_not_sent_takes_it_piece_by_piece(play):
    pieces = {"a_0": ONE, "a_1": Child(ordinals=((9, 20),), need=NEED)}
    game = play(ShardRecords(created={"0": created()}, outcomes={"0": outcome(**pieces)}))
    listing(game, "SUCCEEDED")
    for path in ("0.0", "0.1"):
        found = recovered_job(game.state, path, game.shared)
        assert (found.job, found.made_for) == ("batches/1", "0")


def view_with(play, outcomes, made):
    game = play(ShardRecords(created=made, outcomes=outcomes))
    listing(game, "SUCCEEDED")
    return game


def test_a_split_for_quota_between_is_passed_over(play):
    outcomes = {"0": outcome(a_0=ONE), "0.0": outcome("NOT_SENT", "", a_0_0=ONE, a_0_1=ONE)}
    game = view_with(play, outcomes, {"0": created()})
    assert recovered_job(game.state, "0.0.1", game.shared).made_for == "0"


@pytest.mark.parametrize("state", ["SUCCEEDED", "QUARANTINED", "RESULT_LOST"])
def test_what_was_collected_or_not_trusted_is_not_gone_behind(play, state):
    outcomes = {"0": outcome(a_0=ONE), "0.0": outcome(state, "batches/2", a_0_0=ONE)}
    game = view_with(play, outcomes, {"0": created(), "0.0": created("batches/2")})
    assert recovered_job(game.state, "0.0.0", game.shared) is None


def test_a_job_that_was_taken_and_read_badly_again_is_not_taken_twice(play):
    outcomes = {"0": outcome(a_0=ONE), "0.0": outcome("FAILED", "batches/1", a_0_0=ONE)}
    made = {"0": created(), "0.0": created(made_for="0")}
    game = view_with(play, outcomes, made)
    assert recovered_job(game.state, "0.0.0", game.shared) is None


def test_a_job_that_ended_well_too_late_is_named():
    sent_again = ShardRecords(
        created={"0": created(), "0.0": created("batches/2")}, outcomes={"0": outcome()}
    )
    taken = ShardRecords(
        created={"0": created(), "0.0": created(made_for="0")}, outcomes={"0": outcome()}
    )
    remote = ListedJob(SHARD, "0", "batches/1", "run1/s/0/f", state="SUCCEEDED", done=True)
    assert find_uncollected([remote], {SHARD: sent_again}) == [
        UncollectedJob(SHARD, "0", "batches/1", "FAILED")
    ]
    assert find_uncollected([remote], {SHARD: taken}) == []
    rolled = ShardRecords(created={"0": created(), "0.0": created()}, outcomes={"0": outcome()})
    assert find_uncollected([remote], {SHARD: rolled}) == []
    assert find_uncollected([remote], {}) == []
    assert find_uncollected([replace(remote, state="FAILED")], {SHARD: sent_again}) == []
    assert find_uncollected([replace(remote, job="batches/9")], {SHARD: sent_again}) == []
    well = ShardRecords(created={"0": created()}, outcomes={"0": outcome("SUCCEEDED")})
    assert find_uncollected([remote], {SHARD: well}) == []


def test_a_late_job_is_collected_by_an_attempt_that_is_closed_too(play):
    claims = {"0.0": {1: Claim(holder="you", epoch=1, sealed="stopped")}}
    game = play(records(claims=claims))
    listing(game, "SUCCEEDED")
    game.step(act.DeleteInput)
    assert game.step(act.RecordCreated).created.made_for == "0"
