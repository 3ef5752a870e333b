"""Many small storage calls at once: each mostly waits for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# The number of connections that one client of Cloud Storage keeps open.
MAX_CONCURRENT = 64

# Set by the simulator, which schedules all operations itself: threads would escape its order.
in_one_thread: ContextVar[bool] = ContextVar("in_one_thread", default=False)


def in_parallel(
    work: Callable[[T], R], items: Iterable[T], max_concurrent: int = MAX_CONCURRENT
) -> list[R]:
    """Apply `work` to each item by up to `max_concurrent` threads; results in input order.

    With `max_concurrent` 1, one item, or `in_one_thread`, all happens in the calling thread.
    """
    todo = list(items)
    threads = min(max_concurrent, len(todo))
    # A pool for one call costs more than the call.
    if threads < 2 or in_one_thread.get():
        return [work(item) for item in todo]
    with ThreadPoolExecutor(threads, thread_name_prefix="reembed-read") as pool:
        return list(pool.map(work, todo))
