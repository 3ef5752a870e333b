"""Calls that run beside each other, as the lanes of a bundle do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reembed.beam.drive_shards import DealLanes, LaneSpec, RunConcurrently
from support.waiting import DEADLINE

RunSteps = Callable[..., list[Any]]


def test_one_that_waits_keeps_no_other_from_its_work() -> None:
    second_ran = threading.Event()

    def first() -> Iterator[str]:
        yield "begun"
        assert second_ran.wait(DEADLINE)
        yield "ended"

    def second() -> Iterator[str]:
        second_ran.set()
        yield "second"

    together: RunConcurrently[str] = RunConcurrently()
    together.begin(first)
    assert next(together.results()) == "begun"
    assert list(together.results(0.05)) == [], "it waits no longer for more"
    together.begin(second)
    assert sorted(together.results()) == ["ended", "second"]
    assert list(together.results()) == []


def test_what_a_call_raises_comes_out_after_what_it_gave() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("planted")

    together: RunConcurrently[int] = RunConcurrently()
    together.begin(breaks)
    results = together.results()
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="planted"):
        next(results)


def test_what_is_told_is_done_on_the_thread_that_reads_before_what_is_given_later() -> None:
    together: RunConcurrently[str] = RunConcurrently()
    told: list[int] = []

    def lane() -> Iterator[str]:
        together.call(lambda: told.append(threading.get_ident()))
        yield "after"

    together.begin(lane)
    for _ in together.results():
        assert told == [threading.get_ident()]
    assert len(told) == 1


def test_lanes_are_dealt_once_each(run_steps: RunSteps) -> None:
    import apache_beam as beam
    from apache_beam.testing.test_pipeline import TestPipeline
    from apache_beam.testing.util import assert_that, equal_to

    with TestPipeline(runner="FnApiRunner") as pipeline:
        lanes = pipeline | DealLanes(3)
        assert_that(lanes, equal_to([LaneSpec(number, 3) for number in range(3)]))
    assert isinstance(DealLanes(1), beam.PTransform)


@pytest.mark.parametrize("lanes", [0, -2])
def test_no_lanes_are_refused_when_the_step_is_made(lanes: int) -> None:
    with pytest.raises(ValueError, match=f"{lanes} lanes: give 1 or more"):
        DealLanes(lanes)
