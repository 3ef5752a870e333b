"""DealLanes and DriveShards: from a committed plan to settled shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from reembed.core.machine.records import Settled
from reembed.driver.session import Session, drive_lane
from reembed.transforms.metrics import LaneMetrics


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
    def __init__(self, session: Session) -> None:
        self._session = session

    def process(self, element: LaneSpec) -> Iterator[tuple[str, Settled]]:
        yield from drive_lane(self._session, element.number, element.lanes, LaneMetrics())
