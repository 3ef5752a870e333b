"""DealLanes and DriveShards: from a committed plan to settled shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from reembed.core.machine.records import Settled
from reembed.driver.session import Session, drive_lane
from reembed.transforms.metrics import LaneMetrics, OnBundleThread
from reembed.transforms.together import Together

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
        self._lanes: Together[tuple[str, Settled]] = Together()

    def process(self, element: LaneSpec) -> Iterator[tuple[str, Settled]]:
        watch = OnBundleThread(LaneMetrics(), self._lanes.call)
        lane = partial(drive_lane, self._session, element.number, element.lanes, watch)
        self._lanes.begin(lane)
        yield from self._lanes.results(HAND_ON_SECONDS)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for result in self._lanes.results():
            yield GlobalWindows.windowed_value_at_end_of_window(result)
