"""Which shards of a lane go on, which leave a round, and what an interruption lets pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reembed.core.records import Claim, Created, Need, Outcome
from reembed.machine import actions as act
from reembed.machine.scheduling import (
    DELETE_TRIES,
    LONGEST_RETRY_DELAY,
    MAX_SENDING,
    ROUND_PATIENCE,
    call_retry_delay,
    has_begun,
    is_idle_action,
    is_sealed,
    is_sending,
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
    start_of,
)
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import AttemptState, PendingOutcome

Play = Callable[..., Any]
OTHERS = frozenset(str(number) for number in range(MAX_SENDING))


@pytest.mark.parametrize(
    ("settled", "known", "reserved", "listed", "start"),
    [
        (False, (), (), (), "later"),
        (False, ("s",), (), (), "begin"),
        (False, (), ("s",), (), "begin"),
        (False, (), (), ("s",), "begin"),
        (True, (), (), (), "settled"),
        (True, (), (), ("s",), "settled"),
        (True, (), ("s",), (), "begin"),
    ],
)
def test_a_shard_that_somebody_has_begun_does_not_wait_behind_others(
    settled: bool, known: tuple[str], reserved: tuple[str], listed: tuple[str], start: str
) -> None:
    assert start_of("s", settled, known, reserved, listed) == start


def attempt_of(game: Any) -> AttemptState:
    found: AttemptState = game.state.attempts["0"]
    return found


def test_an_attempt_is_sending_from_its_claim_until_its_create_was_sent(play: Play) -> None:
    game = play()
    assert not is_sending(attempt_of(game))
    game.step(act.MakeClaim)
    assert is_sending(attempt_of(game))
    game.until(act.Create)
    assert is_sending(attempt_of(game))
    unanswered = attempt_of(game).with_local(create_unanswered_since=1.0)
    assert not is_sending(unanswered), "its job may exist: nothing is left to keep others from"
    game.step(act.Create)
    assert not is_sending(attempt_of(game))


def test_another_holder_or_a_worked_out_outcome_is_not_sending(play: Play) -> None:
    game = play(ShardRecords(claims={"0": {1: Claim(holder="you", epoch=1)}}))
    assert not is_sending(attempt_of(game))
    game = play()
    game.step(act.MakeClaim)
    pending = PendingOutcome(Outcome(state="SUCCEEDED", job="b"))
    ended = attempt_of(game).with_local(pending_outcome=pending)
    assert not is_sending(ended)


def test_only_a_claim_that_sets_out_is_held_back_and_none_that_is_on_its_way() -> None:
    claim = act.MakeClaim("0", 1)
    assert may_set_out(claim, "s", frozenset())
    assert not may_set_out(claim, "s", OTHERS)
    assert may_set_out(claim, "0", OTHERS), "held back, its lease would run out"
    assert may_set_out(act.MakeClaim("0", 1, "stopped"), "s", OTHERS)
    assert may_set_out(act.Join("0", "batches/1"), "s", OTHERS)


def test_a_round_leaves_neither_a_claim_nor_what_may_get_room_in_a_moment(play: Play) -> None:
    game = play()
    assert is_unsent(game.state)
    assert may_leave_round(game.state, others_at_work=False)
    assert not may_leave_round(game.state, others_at_work=True)
    game.step(act.MakeClaim)
    assert not may_leave_round(game.state, others_at_work=False)
    created = {"0": Created(job="b", display_name="n", epoch=1)}
    running = play(ShardRecords(created=created)).state
    assert not is_unsent(running)
    assert may_leave_round(running, others_at_work=True)


def test_a_sealed_attempt_is_seen_through_until_it_ends(play: Play) -> None:
    claims = {"0": {1: Claim(holder="you", epoch=1, sealed="stopped")}}
    state = play(ShardRecords(claims=claims)).state
    assert is_sealed(state.attempts["0"])
    assert not may_leave_round(state, others_at_work=False)
    created = {"0": Created(job="b", display_name="n", epoch=1)}
    assert not is_sealed(play(ShardRecords(claims=claims, created=created)).state.attempts["0"])


def test_a_round_is_over_once_only_a_longer_wait_is_left() -> None:
    assert round_is_over(until=100.0 + ROUND_PATIENCE + 0.1, idle_since=100.0)
    assert not round_is_over(until=100.0 + ROUND_PATIENCE, idle_since=100.0)
    assert next_due(500.0, 100.0, one_round=False) == 500.0
    assert next_due(500.0, 100.0, one_round=True) == 100.0 + ROUND_PATIENCE
    assert next_due(100.2, 100.0, one_round=True) == 100.2


def test_a_shard_seeks_admission_until_it_has_a_claim_or_a_job(play: Play) -> None:
    game = play()
    assert not has_begun(game.state)
    game.step(act.MakeClaim)
    assert has_begun(game.state)


def test_an_interruption_lets_pass_what_takes_back_or_records() -> None:
    passing = (
        act.DeleteInput("0", "files/x"),
        act.Release("0", 1, "void"),
        act.ReleaseClaim("0", 1, "why"),
    )
    assert all(may_still_be_done(action) for action in passing)
    assert not any(
        may_still_be_done(action)
        for action in (act.MakeClaim("0", 1), act.Upload("0", 1), act.Create("0", 1, False))
    )


def test_asking_keeps_a_shard_idle() -> None:
    assert is_idle_action(act.ListJobs("0"))
    assert is_idle_action(act.Poll("0", "batches/1"))
    assert not is_idle_action(act.Reserve("0", 1, Need()))


def test_a_lease_is_renewed_so_early_that_two_renewals_may_fail() -> None:
    assert not renewal_is_due(last=0.0, now=39.9, lease=120.0)
    assert renewal_is_due(last=0.0, now=40.0, lease=120.0)
    assert longest_sleep(120.0) == 20.0


def test_polls_grow_rare_up_to_the_longest_interval() -> None:
    poll, interval, seen = (10.0, 30.0), None, []
    for _ in range(5):
        interval = poll_interval(interval, poll)
        seen.append(interval)
    assert seen == [10.0, 15.0, 22.5, 30.0, 30.0]


def test_a_failed_call_waits_longer_each_time_and_never_less_than_asked() -> None:
    assert [call_retry_delay(n, None) for n in (0, 1, 2, 8, 9, 50)] == [1, 2, 4, 256, 300, 300]
    assert call_retry_delay(0, 7.5) == 7.5
    assert call_retry_delay(50, 7.5) == LONGEST_RETRY_DELAY


def test_an_input_that_cannot_be_deleted_is_left_after_some_tries() -> None:
    tries = [leaves_input_to_expire(failures) for failures in range(DELETE_TRIES + 1)]
    assert tries == [False] * DELETE_TRIES + [True]


def test_a_reservation_of_a_later_epoch_shows_another_holder() -> None:
    assert must_reload(known_epoch=1, reserved_epoch=2)
    assert not must_reload(known_epoch=2, reserved_epoch=2)
