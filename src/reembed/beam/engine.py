"""Beam options and the engine named by them; a watchdog over stalled lanes."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.runner import PipelineResult, create_runner
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from reembed.beam.metrics import log_metrics
from reembed.driver.interrupt import Interrupt
from reembed.errors import ReembedError, RunFailedError, StorageError, UsageError
from reembed.storage.base import Storage

# A lane writes its note every two seconds, whatever it waits for; all that can delay it for
# minutes is a call to the service with all its repeats.
STALL_SECONDS = 900.0
_WATCH_SECONDS = 30.0


class Watchdog:
    """Detect stalled lanes: those that have written a note, and then none for too long.

    Some engines wait for ever for a worker that has died. Before the first note nothing is
    concluded: engines take from seconds to hours to start workers.

    Args:
        storage: of the run directory.
        notes: the prefix of the lanes' notes.
        seconds: how long is too long.
        every: seconds between looks.
        now: a clock that never goes back.
    """

    def __init__(
        self,
        storage: Storage,
        notes: str,
        seconds: float = STALL_SECONDS,
        every: float = _WATCH_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage, self._notes, self._seconds = storage, notes, seconds
        self._every, self._now = every, now
        self._looked, self._since = float("-inf"), 0.0
        self._seen: Mapping[str, str] = {}

    def __call__(self) -> None:
        """Read the notes, if they were last read long enough ago.

        Raises:
            RunFailedError: nothing has moved for too long.
        """
        now = self._now()
        if now - self._looked < self._every:
            return
        self._looked = now
        try:
            seen = {stat.uri: stat.generation for stat in self._storage.list(self._notes)}
        except StorageError:
            return
        if not seen or seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since >= self._seconds:
            raise RunFailedError(
                f"no lane has written a note for {(now - self._since) / 60:,.0f} minutes: a worker "
                "has died, and the engine waits for it; the same command goes on"
            )


# Named by its class: `DirectRunner` takes Prism where it can get it, and another engine, with other
# ways to fail, should not come with a package that happens to be installed.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_LOOK_SECONDS = 5.0
# Time that lanes of this process have to take back what they have not sent.
_TAKING_BACK_SECONDS = 10.0


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Parse Beam's own options; without a runner, take the one in this process."""
    options = list(arguments)
    if not any(argument.startswith("--runner") for argument in options):
        options.append(f"--runner={LOCAL_RUNNER}")
    return PipelineOptions(options)


@contextlib.contextmanager
def engine(
    options: PipelineOptions,
    watch: Callable[[], None] | None = None,
    interrupt: Interrupt | None = None,
) -> Iterator[beam.Pipeline]:
    """Make a pipeline that runs on the engine of the options when the block ends.

    `watch` is called every few seconds while the engine works elsewhere; it raises to give it up.
    `interrupt` is set at Ctrl-C, and counts the lanes that run in this process.

    Raises:
        UsageError: there is no such engine.
        RunFailedError: the engine failed, or something on a worker did.
        KeyboardInterrupt: it failed after Ctrl-C, which engines' own processes get too.
    """
    name = options.view_as(StandardOptions).runner or LOCAL_RUNNER
    try:
        runner = create_runner(name)
    except (ValueError, ImportError, AttributeError) as err:
        raise UsageError(f"--runner={name}: {_last_line(err)}") from err
    try:
        pipeline = beam.Pipeline(runner=runner, options=options)
        yield pipeline
        with _signals_kept():
            result = pipeline.run()
        _wait(result, watch)
        log_metrics(result)
    except ReembedError:
        raise
    except Exception as err:  # the one place: engines raise whatever a worker or they themselves do
        logging.getLogger(__name__).exception("the engine failed")
        if interrupt is not None and interrupt.is_set():
            interrupt.wait_for_lanes(_TAKING_BACK_SECONDS)
            raise KeyboardInterrupt from err
        raise RunFailedError(
            f"{name.rsplit('.', 1)[-1]} failed: {_last_line(err)}; logs/ in the run directory has "
            "the whole story"
        ) from err


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handler of Ctrl-C after a runner has started.

    Job servers of Beam install one that ends them at once: lanes would lose their engine before
    they have taken back what they have not sent.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _wait(
    result: PipelineResult, watch: Callable[[], None] | None, every: float = _LOOK_SECONDS
) -> None:
    """Wait for the engine in a thread, which does not keep this process alive when it is given up.

    An engine may never return, and the main thread has to see to the watchdog and to Ctrl-C.
    """
    pool = shared_unbounded_instance()
    ended = pool.submit(result.wait_until_finish)
    while not wait([ended], timeout=every).done:
        try:
            if watch is not None:
                watch()
        except RunFailedError:
            wait([pool.submit(result.cancel)], timeout=_LOOK_SECONDS)
            raise
    ended.result()


def _last_line(err: Exception) -> str:
    """Take the last line of a message: engines put a worker's whole traceback into it.

    Dataflow's ends in "None" where the job gave no reason, as after it was cancelled.
    """
    lines = [line.strip() for line in str(err).splitlines() if line.strip() not in ("", "None")]
    return lines[-1].removesuffix(", Error:") if lines else type(err).__name__


def workers_of(options: PipelineOptions) -> int:
    """Count the workers that the options ask for, at least 1; for Flink, its parallelism."""
    direct = options.view_as(DirectOptions).direct_num_workers or 1
    worker = options.view_as(WorkerOptions)
    asked = worker.max_num_workers or worker.num_workers or 1
    return max(1, direct, asked, options.view_as(FlinkRunnerOptions).parallelism or 1)


def runner_of(options: PipelineOptions) -> str:
    """Name the runner, for people."""
    return str(options.view_as(StandardOptions).runner or LOCAL_RUNNER).rsplit(".", 1)[-1]
