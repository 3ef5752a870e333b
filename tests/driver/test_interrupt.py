"""Whoever stops lanes waits for the last of them."""

from __future__ import annotations

import threading

from reembed.driver.interrupt import Interrupt
from support.waiting import DEADLINE


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
