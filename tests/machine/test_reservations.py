"""The fold of the reservation log: what is spent, what is held, and what still fits."""

from __future__ import annotations

from dataclasses import replace

from reembed.core.records import Need, ReservationLine
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Fold, Reservations


def test_the_book_folds_lines_of_unknown_attempts_to_nothing():
    reservations = Reservations().add(
        ReservationLine(kind="end", attempt="x", epoch=1, retained_until=9.0)
    )
    assert (
        reservations.lines,
        reservations.usd_nano,
        reservations.live,
        reservations.retained_results,
    ) == (
        1,
        0,
        {},
        (),
    )


ONE = Need(usd_nano=10, tokens=100, jobs=1, input_bytes=1000, result_bytes=5000)
WIDE = Quotas(max_usd_nano=100, jobs=3, tokens=1000, file_bytes=100_000)


def line(kind, attempt="s-1/0", epoch=1, **more):
    return ReservationLine(kind=kind, attempt=attempt, epoch=epoch, **more)


def test_dollars_of_a_void_come_back_and_those_of_an_end_stay():
    reserved = Reservations().add(line("reserve", need=ONE))
    assert (reserved.usd_nano, reserved.used(0.0).tokens) == (10, 100)
    assert reserved.add(line("void")).usd_nano == 0
    ended = reserved.add(line("end", retained_until=50.0))
    assert (ended.usd_nano, ended.live) == (10, {})
    assert [ended.used(now).result_bytes for now in (49.0, 51.0)] == [5000, 0]


def test_a_next_epoch_takes_the_reservation_over():
    first = Reservations().add(line("reserve", need=ONE))
    second = first.add(line("reserve", epoch=2, need=ONE))
    assert (second.usd_nano, second.holding_epoch("s-1/0")) == (10, 2)
    assert second.decide_reserve("s-1/0", 1, ONE, WIDE, 0.0) == "refused"
    assert second.decide_reserve("s-1/0", 2, ONE, WIDE, 0.0) == "held"
    assert second.shards() == {"s-1"}


def test_room_is_taken_up_to_the_cap_and_the_quotas():
    held = Reservations().add(*(line("reserve", f"s-{n}/0", need=ONE) for n in range(2)))
    assert held.admission("s-9/0", ONE, WIDE, 0.0) == "fits"
    assert held.admission("s-9/0", ONE, replace(WIDE, jobs=2), 0.0) == "busy"
    assert held.admission("s-9/0", ONE, replace(WIDE, tokens=250), 0.0) == "busy"
    assert held.admission("s-9/0", ONE, replace(WIDE, file_bytes=17_000), 0.0) == "busy"
    assert held.admission("s-9/0", ONE, replace(WIDE, max_usd_nano=29), 0.0) == "capped"
    assert held.admission("s-0/0", ONE, replace(WIDE, max_usd_nano=0), 0.0) == "fits"


def test_a_gap_is_what_a_job_is_too_large_for():
    held = Reservations().add(line("reserve", need=ONE))
    assert held.unused_tokens(ONE, replace(WIDE, tokens=150), 0.0) == 50
    assert held.unused_tokens(ONE, WIDE, 0.0) == 0


def test_what_was_reserved_before_is_what_the_service_has():
    held = Reservations().add(*(line("reserve", f"s-{n}/0", need=ONE) for n in range(3)))
    assert held.reserved_before("s-1/0", 0.0).tokens == 100
    assert held.reserved_before("s-9/0", 0.0).tokens == 300


def test_a_fold_holds_all_of_it():
    held = Reservations().add(line("reserve", need=ONE), line("refused", "s-2/0", need=ONE))
    assert Fold.decode(Fold(reservations=held).encode(), "fold").reservations == held
