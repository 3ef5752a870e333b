"""Many small calls at once: in order, bounded, and in one thread where that is asked for."""

from __future__ import annotations

import threading
from contextvars import copy_context

import pytest

from reembed.storage.parallel import in_one_thread, in_parallel
from support.waiting import DEADLINE


def test_results_are_in_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            assert second_is_done.wait(DEADLINE)
        else:
            second_is_done.set()
        return item * 10

    assert in_parallel(work, [1, 2]) == [10, 20]


@pytest.mark.parametrize(("items", "max_concurrent"), [([1], 64), ([1, 2, 3], 1), ([], 64)])
def test_what_needs_no_thread_has_none(items: list[int], max_concurrent: int) -> None:
    threads = in_parallel(lambda _: threading.get_ident(), items, max_concurrent)
    assert set(threads) <= {threading.get_ident()}


def test_whoever_schedules_all_himself_gets_one_thread() -> None:
    def scheduled() -> list[int]:
        in_one_thread.set(True)
        return in_parallel(lambda _: threading.get_ident(), range(5))

    assert set(copy_context().run(scheduled)) == {threading.get_ident()}


def test_an_error_of_one_is_the_error_of_all() -> None:
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda item: 1 / item, [1, 0, 2])
