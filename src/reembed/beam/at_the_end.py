"""Call a function on a worker after everything before it has ended.

For a job that is only written down for a launcher: the process that wrote it has ended long before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import apache_beam as beam

T = TypeVar("T")


class AtTheEnd(beam.PTransform):
    """Call a function once all elements of some collections are there.

    An engine may call it more than once: it must come to the same.

    Args:
        function: of a module; an exception in it fails the job.
        value: its argument, which travels with the graph.
        after: collections that must be complete.
    """

    def __init__(
        self, function: Callable[[T], object], value: T, after: Sequence[beam.PCollection[Any]]
    ) -> None:
        super().__init__()
        self._function, self._value, self._after = function, value, after

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[None]:
        """Wait by side inputs: a count of elements is there when the last has come."""
        counts = [
            beam.pvalue.AsSingleton(part | f"Count{n}" >> beam.combiners.Count.Globally())
            for n, part in enumerate(self._after)
        ]
        return (
            root
            | "Once" >> beam.Create([self._value])
            | "Call" >> beam.ParDo(_Call(self._function), *counts)
        )


class _Call(beam.DoFn):
    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function

    def process(self, element: Any, *counts: int) -> Iterator[None]:
        self._function(element)
        yield None
