"""Beam's options for our pipelines: the engine named, not switched behind our back."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.runner import create_runner

from reembed.errors import ReembedError, RunFailedError, UsageError
from reembed.pipeline.metrics import log_metrics

# `DirectRunner` is a switch that takes another engine where it can get one; this is the one that
# the tests run on.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Ordinary Beam options; without a runner, the one in this process."""
    given = list(arguments)
    if not any(argument.startswith("--runner") for argument in given):
        given.append(f"--runner={LOCAL_RUNNER}")
    return PipelineOptions(given)


@contextlib.contextmanager
def engine(options: PipelineOptions) -> Iterator[beam.Pipeline]:
    """A pipeline that runs on the engine of the options when the block ends.

    Raises:
        UsageError: there is no such engine.
        RunFailedError: the engine failed, or something on a worker did.
    """
    name = options.view_as(StandardOptions).runner or LOCAL_RUNNER
    try:
        runner = create_runner(name)
    except (ValueError, ImportError, AttributeError) as err:
        raise UsageError(f"--runner={name}: {_last_line(err)}") from err
    try:
        with beam.Pipeline(runner=runner, options=options) as pipeline:
            yield pipeline
        log_metrics(pipeline.result)
    except ReembedError:
        raise
    except Exception as err:  # the one place: engines raise whatever a worker or they themselves do
        logging.getLogger(__name__).exception("the engine failed")
        raise RunFailedError(
            f"{runner_of(options)} failed: {_last_line(err)}; logs/ in the run directory has the "
            "whole story"
        ) from err


def _last_line(err: Exception) -> str:
    """What was said last: engines put a worker's whole traceback into their message.

    Dataflow's ends in "None" where the job gave no reason, as after it was cancelled.
    """
    lines = [line.strip() for line in str(err).splitlines() if line.strip() not in ("", "None")]
    return lines[-1].removesuffix(", Error:") if lines else type(err).__name__


def workers_of(options: PipelineOptions) -> int:
    """How many workers the options ask for, at least 1."""
    direct = options.view_as(DirectOptions).direct_num_workers or 1
    worker = options.view_as(WorkerOptions)
    asked = worker.max_num_workers or worker.num_workers or 1
    return max(1, direct, asked)


def runner_of(options: PipelineOptions) -> str:
    """The runner's name, for people."""
    return str(options.view_as(StandardOptions).runner or LOCAL_RUNNER).rsplit(".", 1)[-1]
