"""Engines that hang: given up when lanes have spoken and fell silent, and not before."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from apache_beam.runners.runner import PipelineResult

from reembed.beam.engine import (
    LOCAL_RUNNER,
    Watchdog,
    _wait,
    beam_options,
    engine,
    runner_of,
    workers_of,
)
from reembed.errors import RunFailedError
from reembed.storage.open import open_storage
from support.waiting import DEADLINE


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lanes_that_fell_silent_are_noticed_after_the_time_and_not_before(tmp_path: Path) -> None:
    storage, clock = open_storage(), Clock()
    notes = f"{tmp_path}/progress/"
    watch = Watchdog(storage, notes, seconds=100, every=10, now=clock)
    for clock.now in (0.0, 500.0, 5000.0):
        watch()  # an engine that has not begun
    storage.put(f"{notes}00000", b"1")
    storage.put(f"{notes}00001", b"1")
    clock.now = 6000.0
    watch()
    clock.now = 6099.0
    watch()
    storage.put(f"{notes}00001", b"2")  # one of them lives
    clock.now = 6150.0
    watch()
    clock.now = 6249.0
    watch()
    clock.now = 6260.0
    with pytest.raises(RunFailedError, match="no lane has written a note for 2 minutes"):
        watch()


class Hanging(PipelineResult):
    def __init__(self) -> None:
        self.gone = threading.Event()

    def wait_until_finish(self, duration: int | None = None) -> str:
        self.gone.wait(DEADLINE)
        return "CANCELLED"

    def cancel(self) -> str:
        self.gone.set()
        return "CANCELLED"


def test_an_engine_that_is_given_up_is_told_so() -> None:
    def give_up() -> None:
        raise RunFailedError("silent")

    result = Hanging()
    with pytest.raises(RunFailedError, match="silent"):
        _wait(result, give_up, every=0.05)
    assert result.gone.wait(DEADLINE)


def test_flinks_parallelism_says_how_many_lanes_there_are() -> None:
    assert workers_of(beam_options(["--runner=FlinkRunner", "--parallelism=4"])) == 4
    assert workers_of(beam_options(["--runner=FlinkRunner"])) == 1
    assert workers_of(beam_options(["--runner=PrismRunner"])) == 1


def test_the_engine_is_named_and_its_workers_are_counted() -> None:
    assert runner_of(beam_options([])) == "FnApiRunner"
    assert workers_of(beam_options([])) == 1
    assert workers_of(beam_options(["--direct_num_workers=3"])) == 3
    assert workers_of(beam_options(["--num_workers=2", "--max_num_workers=7"])) == 7
    assert runner_of(beam_options(["--runner=PrismRunner"])) == "PrismRunner"
    assert LOCAL_RUNNER.endswith("FnApiRunner")


def test_whatever_fails_on_a_worker_becomes_one_line() -> None:
    import apache_beam as beam

    def fail(number: int) -> float:
        return 1 / number

    with (
        pytest.raises(RunFailedError, match=r"FnApiRunner failed: .*division by zero"),
        engine(beam_options([])) as pipeline,
    ):
        _ = pipeline | beam.Create([0]) | beam.Map(fail)
