"""DealLanes and DriveShards: from a committed plan to settled shards."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import with_input_types, with_output_types
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance
from apache_beam.utils.windowed_value import WindowedValue

from reembed.beam.metrics import LaneMetrics, OnBundleThread
from reembed.core.records import Settled
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session, drive_lane

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Result(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[[], None]


class RunConcurrently(Generic[T]):
    """Runs calls in threads of their own and yields their results in the order they come.

    A bundle may hold several lanes, and a lane waits for hours for its remote jobs. Run one after
    the other, the second lane would create no job before the last job of the first has ended.

    The threads do not keep a process alive: an engine that ended a job waits for nothing here.
    """

    def __init__(self) -> None:
        self._pool = shared_unbounded_instance()
        self._queue: queue.SimpleQueue[_Result[T] | _Call | Future[None]] = queue.SimpleQueue()
        self._running = 0

    def begin(self, call: Callable[[], Iterable[T]]) -> None:
        """Start a call beside those that run."""

        def run() -> None:
            for each in call():
                self._queue.put(_Result(each))

        self._running += 1
        future: Future[None] = self._pool.submit(run)
        future.add_done_callback(self._queue.put)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function on the thread that reads the results, before results that come later.

        Beam finds the bundle that a metric belongs to by its thread, and these threads have none.
        """
        self._queue.put(_Call(function))

    def results(self, seconds: float | None = None) -> Iterator[T]:
        """Yield what the calls yield, until all have ended or the time is over.

        Raises whatever a call raised.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._running:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                entry = self._queue.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(entry, Future):
                self._running -= 1
                entry.result()
            elif isinstance(entry, _Call):
                entry.function()
            else:
                yield entry.value


# How long a worker keeps to one lane of its bundle before it takes the next. An engine that can
# split a bundle gives the rest of it to workers that have none; a worker that took all lanes at
# once would leave nothing to give.
HAND_ON_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """Lane `number` of `lanes`: it drives every `lanes`-th shard of the plan, from `number` on."""

    number: int
    lanes: int


def deal_lanes(lanes: int) -> list[LaneSpec]:
    """Make the lanes that together drive every shard once."""
    return [LaneSpec(number, lanes) for number in range(lanes)]


class DealLanes(beam.PTransform):
    """Make as many lanes as asked for, spread over the workers.

    Input: the beginning of a pipeline. Output: `LaneSpec`.

    An element is a lane, a control loop over many shards, and not a shard. Nearly all the time of
    a shard is waiting: one sleeping loop a shard would need a thread each, and a splittable DoFn
    that defers its rest spins on some engines and loses elements on others.

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
        lanes = beam.Create(deal_lanes(self._lanes)).with_output_types(LaneSpec)
        return root | "Lanes" >> lanes | "Spread" >> beam.Reshuffle()


@with_input_types(LaneSpec)
@with_output_types(tuple[str, Settled])
class DriveShards(beam.PTransform):
    """Drive the shards of lanes until they are settled.

    Input: `LaneSpec`. Output: ``(shard, Settled)`` for every shard that is settled. Shards that a
    lane leaves, and why, stand in its progress note: an exception would make the engine begin
    the stage again.

    Args:
        session: everything that a worker needs to open the run, but no API key; or a side input
            that holds it, where the run is committed in the same pipeline.
    """

    def __init__(self, session: Session | beam.pvalue.AsSingleton) -> None:
        super().__init__()
        self._session = session

    def expand(self, lanes: beam.PCollection[LaneSpec]) -> beam.PCollection[tuple[str, Settled]]:
        """Drive every lane."""
        return lanes | "Drive" >> beam.ParDo(_Drive(), self._session)


# Interrupts of the calls that wait in this process, by run. A DoFn reaches its worker as bytes, and
# an event cannot travel in them. Engines that run in the calling process (the default one) load
# the DoFn there again, which finds its call's interrupt under the run's id; on another process or
# machine there is none, and lanes go on until their engine stops them. One call drives a run in
# a process at a time, so the id is enough.
_INTERRUPTS: dict[str, Interrupt] = {}


@contextlib.contextmanager
def interruptible(run: str, interrupt: Interrupt) -> Iterator[None]:
    """Give an interrupt to the lanes of a run that begin in this process during the block."""
    _INTERRUPTS[run] = interrupt
    try:
        yield
    finally:
        _INTERRUPTS.pop(run, None)


@with_input_types(LaneSpec, Session)
@with_output_types(tuple[str, Settled])
class _Drive(beam.DoFn):
    """Drives the lanes of a bundle concurrently: see `RunConcurrently`."""

    def start_bundle(self) -> None:
        self._lanes: RunConcurrently[tuple[str, Settled]] = RunConcurrently()

    def process(self, element: LaneSpec, session: Session) -> Iterator[tuple[str, Settled]]:
        watch = OnBundleThread(LaneMetrics(), self._lanes.call)
        interrupt = _INTERRUPTS.get(session.run)
        lane = partial(drive_lane, session, element.number, element.lanes, interrupt, watch)
        self._lanes.begin(lane)
        yield from self._lanes.results(HAND_ON_SECONDS)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        # A bundle has no element any more whose window its results could take.
        for result in self._lanes.results():
            yield GlobalWindows.windowed_value_at_end_of_window(result)
