"""Beam's options for our pipelines: the engine named, not switched behind our back."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

# `DirectRunner` is a switch that takes another engine where it can get one; this is the one that
# the tests run on.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Ordinary Beam options; without a runner, the one in this process."""
    given = list(arguments)
    if not any(argument.startswith("--runner") for argument in given):
        given.append(f"--runner={LOCAL_RUNNER}")
    return PipelineOptions(given)


def workers_of(options: PipelineOptions) -> int:
    """How many workers the options ask for, at least 1."""
    direct = options.view_as(DirectOptions).direct_num_workers or 1
    worker = options.view_as(WorkerOptions)
    asked = worker.max_num_workers or worker.num_workers or 1
    return max(1, direct, asked)


def runner_of(options: PipelineOptions) -> str:
    """The runner's name, for people."""
    return str(options.view_as(StandardOptions).runner or LOCAL_RUNNER).rsplit(".", 1)[-1]
