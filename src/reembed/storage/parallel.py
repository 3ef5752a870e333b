"""Run many small storage calls at once: each mostly waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# As many connections as one client of Cloud Storage keeps open.
AT_ONCE = 64

# Set by whoever schedules all operations itself, such as a simulator: no threads beside it.
in_one_thread: ContextVar[bool] = ContextVar("in_one_thread", default=False)


def in_parallel(work: Callable[[T], R], items: Iterable[T], at_once: int = AT_ONCE) -> list[R]:
    """Apply `work` to each item by up to `at_once` threads; results in the order of the items.

    With `at_once` 1, or one item, or `in_one_thread`, everything happens in the calling thread.
    """
    todo = list(items)
    threads = min(at_once, len(todo))
    if threads < 2 or in_one_thread.get():
        return [work(item) for item in todo]
    with ThreadPoolExecutor(threads, thread_name_prefix="reembed-read") as pool:
        return list(pool.map(work, todo))
