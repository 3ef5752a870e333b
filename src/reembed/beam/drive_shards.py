"""DealLanes and DriveShards: from a committed plan to settled shards."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance
from apache_beam.utils.windowed_value import WindowedValue

from reembed.beam.metrics import LaneMetrics, OnBundleThread
from reembed.core.records import Settled
from reembed.driver.session import Session, drive_lane

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Result(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _Call:
    what: Callable[[], None]


class RunConcurrently(Generic[T]):
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


# How long a worker keeps to one lane of its bundle, so that an engine that can split a bundle
# gives the others to workers that have none.
HAND_ON_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """Lane `number` of `lanes`: it takes every `lanes`-th shard of the plan."""

    number: int
    lanes: int


class DealLanes(beam.PTransform):
    """Make as many lanes as asked for, spread over the workers.

    Args:
        lanes: how many control loops; as many as there are workers.
    """

    def __init__(self, lanes: int) -> None:
        super().__init__()
        if lanes < 1:
            raise ValueError(f"{lanes} lanes: give 1 or more")
        self._lanes = lanes

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[LaneSpec]:
        """One element a lane."""
        specs = [LaneSpec(number, self._lanes) for number in range(self._lanes)]
        return root | "Lanes" >> beam.Create(specs) | "Spread" >> beam.Reshuffle()


class DriveShards(beam.PTransform):
    """Lanes in, (shard, settled record) out; what a lane leaves is in its progress record.

    Args:
        session: everything that a worker needs to open the run; no key.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def expand(self, lanes: beam.PCollection[LaneSpec]) -> beam.PCollection[tuple[str, Settled]]:
        """Drive every lane."""
        return lanes | "Drive" >> beam.ParDo(_Drive(self._session))


class _Drive(beam.DoFn):
    """Drives the lanes of a bundle at the same time.

    Engines put several lanes into one bundle, or give one to a worker that has one already. Driven
    one after the other, the second would wait for the jobs of the first to end.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def start_bundle(self) -> None:
        self._lanes: RunConcurrently[tuple[str, Settled]] = RunConcurrently()

    def process(self, element: LaneSpec) -> Iterator[tuple[str, Settled]]:
        watch = OnBundleThread(LaneMetrics(), self._lanes.call)
        lane = partial(drive_lane, self._session, element.number, element.lanes, watch)
        self._lanes.begin(lane)
        yield from self._lanes.results(HAND_ON_SECONDS)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for result in self._lanes.results():
            yield GlobalWindows.windowed_value_at_end_of_window(result)
