"""Lanes of one bundle, driven at the same time: one that waits keeps no other from its work."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Result(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _Call:
    what: Callable[[], None]


class Together(Generic[T]):
    """Runs calls in threads of their own and gives on what they yield, as it comes.

    The threads do not keep a process alive: an engine that ended a job waits for nothing here.
    """

    def __init__(self) -> None:
        self._pool = shared_unbounded_instance()
        self._given: queue.SimpleQueue[_Result[T] | _Call | Future[None]] = queue.SimpleQueue()
        self._running = 0

    def begin(self, call: Callable[[], Iterable[T]]) -> None:
        """Start a call beside those that run."""

        def run() -> None:
            for each in call():
                self._given.put(_Result(each))

        self._running += 1
        future: Future[None] = self._pool.submit(run)
        future.add_done_callback(self._given.put)

    def call(self, what: Callable[[], None]) -> None:
        """Have something done on the thread that reads the results, before what is given later."""
        self._given.put(_Call(what))

    def results(self, seconds: float | None = None) -> Iterator[T]:
        """Yield what calls gave, until all have ended or the time is over.

        Raises whatever a call raised.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._running:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                given = self._given.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(given, Future):
                self._running -= 1
                given.result()
            elif isinstance(given, _Call):
                given.what()
            else:
                yield given.value
