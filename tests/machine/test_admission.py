"""In which form a job goes, and what it does while it does not fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from machine.shards import gap, held
from reembed.core.records import Need
from reembed.machine import actions as act
from reembed.machine.adaptive_quota import LONGEST_PATIENCE, Bound, Ceiling


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


def test_a_pause_that_the_log_tells_is_waited_for_too(play):
    game = held(play)
    game.step(act.Release)
    game.write(kind="refused", attempt="x/0", epoch=1, at=game.shared.storage_now, retry_after=90.0)
    until = game.shared.now + 90.0
    while game.shared.now < until:
        game.wait()
    assert game.shared.now == until
    game.step(act.Reserve)


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
