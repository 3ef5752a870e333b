"""Which shards of a lane go on now: few send at a time, and one round waits for a moment only."""

from __future__ import annotations

import pytest

from reembed.machine import actions as act
from reembed.machine.scheduling import (
    DELETE_TRIES,
    MAX_SENDING,
    call_retry_delay,
    has_begun,
    is_idle_action,
    is_unsent,
    leaves_input_to_expire,
    longest_sleep,
    may_leave_round,
    may_set_out,
    may_still_be_done,
    must_reload,
    next_due,
    poll_interval,
    renewal_is_due,
    round_is_over,
    shard_is_sending,
    start_of,
)


@pytest.mark.parametrize(
    ("settled", "known", "reserved", "listed", "start"),
    [
        (False, (), (), (), "later"),
        (False, ("s",), (), (), "begin"),
        (False, (), ("s",), (), "begin"),
        (False, (), (), ("s",), "begin"),
        (True, ("s",), (), ("s",), "settled"),
        (True, (), ("s",), (), "begin"),
    ],
)
def test_a_lane_begins_with_what_somebody_has_begun(settled, known, reserved, listed, start):
    assert start_of("s", settled, known, reserved, listed) == start


def test_only_setting_out_is_held_back_and_never_who_is_on_its_way():
    sending = [f"s{n}" for n in range(MAX_SENDING)]
    claim = act.MakeClaim("0", 1)
    assert may_set_out(claim, "other", sending[:-1])
    assert not may_set_out(claim, "other", sending)
    assert may_set_out(claim, "s0", sending)
    assert may_set_out(act.MakeClaim("0", 1, sealed="ended"), "other", sending)
    assert may_set_out(act.Poll("0", "b"), "other", sending)


def test_what_only_asks_is_idle_and_what_takes_back_is_still_done():
    assert is_idle_action(act.Poll("0", "b"))
    assert not is_idle_action(act.MakeClaim("0", 1))
    assert may_still_be_done(act.DeleteInput("0", "files/x"))
    assert not may_still_be_done(act.MakeClaim("0", 1))


def test_a_round_leaves_what_waits_but_sees_a_claim_through(play):
    game = play()
    assert is_unsent(game.state)
    assert not has_begun(game.state)
    assert may_leave_round(game.state, others_at_work=False)
    assert not may_leave_round(game.state, others_at_work=True)
    game.step(act.MakeClaim)
    assert has_begun(game.state)
    assert shard_is_sending(game.state)
    assert not may_leave_round(game.state, others_at_work=False)
    game.until(act.Poll)
    assert not is_unsent(game.state)
    assert may_leave_round(game.state, others_at_work=True)


def test_one_round_waits_for_a_moment():
    assert not round_is_over(until=10.5, idle_since=10.0)
    assert round_is_over(until=11.5, idle_since=10.0)
    assert next_due(until=100.0, now=10.0, one_round=False) == 100.0
    assert next_due(until=100.0, now=10.0, one_round=True) == 11.0


def test_a_claim_is_renewed_twice_before_it_runs_out():
    assert not renewal_is_due(last=0.0, now=39.0, lease=120.0)
    assert renewal_is_due(last=0.0, now=40.0, lease=120.0)
    assert longest_sleep(120.0) <= 120.0 / 3


def test_polls_grow_and_calls_are_repeated_ever_more_rarely():
    intervals = [poll_interval(None, (10.0, 100.0))]
    for _ in range(7):
        intervals.append(poll_interval(intervals[-1], (10.0, 100.0)))
    assert intervals[:3] == [10.0, 15.0, 22.5]
    assert intervals[-1] == 100.0
    assert [call_retry_delay(n, None) for n in (0, 1, 2, 20)] == [1.0, 2.0, 4.0, 300.0]
    assert call_retry_delay(0, 77.0) == 77.0


def test_an_input_that_cannot_be_deleted_expires_in_the_end():
    assert not leaves_input_to_expire(DELETE_TRIES - 1)
    assert leaves_input_to_expire(DELETE_TRIES)


def test_records_are_read_again_once_a_later_epoch_reserved():
    assert must_reload(known_epoch=1, reserved_epoch=2)
    assert not must_reload(known_epoch=1, reserved_epoch=1)
