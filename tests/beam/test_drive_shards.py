"""Calls that run beside each other, as the lanes of a bundle do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from reembed.beam.drive_shards import RunConcurrently
from reembed.driver.interrupt import Interrupt
from support.waiting import DEADLINE


def test_one_that_waits_keeps_no_other_from_its_work() -> None:
    second_ran = threading.Event()

    def first() -> Iterator[str]:
        yield "begun"
        assert second_ran.wait(DEADLINE)
        yield "ended"

    def second() -> Iterator[str]:
        second_ran.set()
        yield "second"

    together: RunConcurrently[str] = RunConcurrently()
    together.begin(first)
    assert next(together.results()) == "begun"
    assert list(together.results(0.05)) == [], "it waits no longer for more"
    together.begin(second)
    assert sorted(together.results()) == ["ended", "second"]
    assert list(together.results()) == []


def test_what_a_call_raises_comes_out_after_what_it_gave() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("planted")

    together: RunConcurrently[int] = RunConcurrently()
    together.begin(breaks)
    results = together.results()
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="planted"):
        next(results)


def test_what_is_told_is_done_on_the_thread_that_reads_before_what_is_given_later() -> None:
    together: RunConcurrently[str] = RunConcurrently()
    told: list[int] = []

    def lane() -> Iterator[str]:
        together.call(lambda: told.append(threading.get_ident()))
        yield "after"

    together.begin(lane)
    for _ in together.results():
        assert told == [threading.get_ident()]
    assert len(told) == 1


def test_whoever_stops_waits_for_the_last_at_work() -> None:
    work, leave = Interrupt(), threading.Event()

    def lane() -> None:
        with work.lane():
            leave.wait(DEADLINE)

    assert work.wait_for_lanes(0)
    threads = [threading.Thread(target=lane) for _ in range(2)]
    with work.lane():
        for thread in threads:
            thread.start()
        assert not work.wait_for_lanes(0.05)
    leave.set()
    for thread in threads:
        thread.join()
    assert work.wait_for_lanes(5)
