"""The state that all lanes of a process share: read at once, and changed by any thread."""

from __future__ import annotations

import pytest

from reembed.core.records import Need, ReservationLine
from reembed.driver.shared_state import SharedStateStore, listed_jobs
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Reservations
from reembed.providers.base import Job
from support.clocks import JumpingClock

WIDE = Quotas(max_usd_nano=None, jobs=10, tokens=10_000, file_bytes=10**9)
NAME = "run1/00000000-000003/0/abcdef01"


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def store(clock: JumpingClock) -> SharedStateStore:
    """The storage's clock is a thousand seconds ahead."""
    return SharedStateStore("run1", WIDE, clock, 1000.0)


def one(attempt: str) -> ReservationLine:
    return ReservationLine(kind="reserve", attempt=attempt, epoch=1, need=Need(tokens=5))


def test_both_clocks_are_of_this_moment(store: SharedStateStore, clock: JumpingClock) -> None:
    clock.at = 7.0
    shared = store.current()
    assert (shared.now, shared.storage_now, store.storage_now()) == (7.0, 1007.0, 1007.0)


def test_a_log_that_has_not_grown_is_read_and_not_changed(
    store: SharedStateStore, clock: JumpingClock
) -> None:
    log = Reservations().add(one("s-1/0"))
    for clock.at in (1.0, 2.0):
        store.set_reservations(log, "s-1/0")
    shared = store.current()
    assert (shared.reservations_read_at, shared.reservations_changed_at) == (2.0, 1.0)
    assert shared.refreshed_for == "s-1/0"
    clock.at = 3.0
    store.set_reservations(log.add(one("s-2/0")))
    assert store.current().reservations_changed_at == 3.0


def test_the_first_reason_to_halt_stands(store: SharedStateStore) -> None:
    store.halt("")
    assert store.current().may_create
    store.halt("first")
    store.halt("second")
    assert store.current().halted == "first"


def test_refusals_halt_once_they_are_too_many(store: SharedStateStore) -> None:
    for _ in range(3):
        assert store.current().halted == ""
        store.count_job_end("FAILED", 3)
    assert "refused as malformed" in store.current().halted


def test_a_stop_is_lifted_by_a_later_reading(store: SharedStateStore) -> None:
    for stopped in (True, False):
        store.set_stopped(stopped)
        assert store.current().stopped is stopped


def test_a_listing_counts_from_when_it_began_and_holds_our_jobs(store: SharedStateStore) -> None:
    jobs = [Job("batches/1", NAME, "RUNNING", ""), Job("batches/2", "another's", "RUNNING", "")]
    store.set_listed_jobs(jobs, 5.0)
    shared = store.current()
    assert shared.listed_at == 5.0
    assert [job.job for job in shared.listed_jobs["00000000-000003", "0"]] == ["batches/1"]
    assert [job.job for job in listed_jobs("run1", jobs)] == ["batches/1"]
