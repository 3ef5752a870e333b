"""Many writers at once for one name: threads, and processes that can import this."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from reembed.errors import AlreadyExistsError
from reembed.storage.base import Storage
from support.waiting import DEADLINE


def race_threads(count: int, write: Callable[[int], object]) -> list[int]:
    """Call `write(number)` in all threads at once; return the numbers that were not refused."""
    start = threading.Barrier(count)

    def run(number: int) -> bool:
        start.wait(timeout=DEADLINE)
        return _won(lambda: write(number))

    with ThreadPoolExecutor(count) as pool:
        won = list(pool.map(run, range(count)))
    return [number for number, is_winner in enumerate(won) if is_winner]


def race_processes(count: int, storage: Storage, uris: Sequence[str]) -> list[list[int]]:
    """Create every name in all processes at once; return the winners of each name."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=_create_all, args=(number, storage, uris, start, answers))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    won = [answers.get(timeout=DEADLINE) for _ in processes]
    for process in processes:
        process.join(timeout=DEADLINE)
    answers.close()
    answers.join_thread()
    return [[number for number, names in won if uri in names] for uri in uris]


def _create_all(number, storage, uris, start, answers):
    # The first call imports and connects; only then are all equally fast.
    storage.put(f"{uris[0]}-warm-{number}", b"")
    start.wait(timeout=DEADLINE)
    answers.put((number, [u for u in uris if _won(lambda u=u: storage.create(u, b"%d" % number))]))


def _won(write: Callable[[], object]) -> bool:
    try:
        write()
    except AlreadyExistsError:
        return False
    return True
