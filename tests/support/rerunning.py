"""An engine that repeats bundles, as others do whose workers die: for ``--runner=``.

Beam's in-process engine runs each bundle once. Here every step of ours runs each bundle by chance
in one of four ways: plainly; twice, with the first output dropped; cut off somewhere, then anew;
or twice at the same time, with the output of whichever ends first. The seed is in the environment.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.internal import pickler
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.runners.common import DoFnSignature
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

SEED = "REEMBED_TEST_SEED"
WAYS = ("plain", "again", "cut", "at once")
# What was done, by step and way, for the test to see that there was something.
done: Counter[tuple[str, str]] = Counter()
_counting = threading.Lock()


class RerunRunner(FnApiRunner):
    """Beam's in-process engine, with our steps wrapped."""

    def run_pipeline(self, pipeline: beam.Pipeline, options: Any) -> Any:
        pipeline.visit(_Wrap(os.environ.get(SEED, "0")))
        return super().run_pipeline(pipeline, options)


class _Wrap(PipelineVisitor):
    def __init__(self, seed: str) -> None:
        self._seed, self._steps = seed, 0

    def visit_transform(self, node: AppliedPTransform) -> None:
        step = node.transform
        if not isinstance(step, beam.ParDo) or not type(step.fn).__module__.startswith("reembed."):
            return
        self._steps += 1
        step.fn = step.dofn = Repeated(step.fn, f"{self._seed}/{self._steps}")
        step._signature = DoFnSignature(step.fn)


class Repeated(beam.DoFn):
    """Gathers a bundle, and runs it as chance says when it ends."""

    def __init__(self, inner: beam.DoFn, seed: str) -> None:
        self._inner = pickler.dumps(inner)
        self._name = type(inner).__name__
        self._random = random.Random(seed)

    def start_bundle(self) -> None:
        self._elements: list[Any] = []

    def process(self, element: Any, *arguments: Any) -> None:
        # Side inputs are the same for every element: all is in the one global window.
        self._arguments = arguments
        self._elements.append(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if not self._elements:
            return
        way = self._random.choice(WAYS)
        with _counting:
            done[self._name, way] += 1
        yield from self._run(way)

    def _run(self, way: str) -> Iterable[WindowedValue]:
        if way == "at once":
            return self._at_once()
        if way == "again":
            self._whole()
        elif way == "cut":
            # What it began in threads of its own goes on, like a worker that was taken for dead.
            list(islice(self._outputs(), 1 + self._random.randrange(3)))
        return self._whole()

    def _at_once(self) -> list[WindowedValue]:
        pool = ThreadPoolExecutor(2)
        both = [pool.submit(self._whole) for _ in range(2)]
        first = next(iter(wait(both, return_when=FIRST_COMPLETED).done)).result()
        # The other goes on: nothing that it does later may change what there is.
        pool.shutdown(wait=False)
        return first

    def _whole(self) -> list[WindowedValue]:
        return list(self._outputs())

    def _outputs(self) -> Iterator[WindowedValue]:
        """Run the bundle on a worker of its own."""
        fn = pickler.loads(self._inner)
        fn.setup()
        try:
            fn.start_bundle()
            for element in self._elements:
                for value in fn.process(element, *self._arguments) or ():
                    yield GlobalWindows.windowed_value_at_end_of_window(value)
            yield from fn.finish_bundle() or ()
        finally:
            fn.teardown()
