"""A whole run as one step of somebody's pipeline, against the emulator."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from e2e.harness import BATCH, Remote, emulator
from reembed.beam import Embed, Embedding, EmbedInput, EmbedReject
from reembed.beam.engine import LOCAL_RUNNER, beam_options
from reembed.errors import ConfigError, UsageError
from support import rerunning

WORDS = ("river", "violin", "granite", "bread", "orbit")
INPUTS = [EmbedInput(f"note {n:03}", f"A {WORDS[n % 5]} and number {n}.") for n in range(40)]
_kept: dict[str, list[Any]] = {}


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with emulator() as served:
        yield served


@pytest.fixture
def settings(tmp_path: Path, remote: Remote) -> dict[str, Any]:
    return {
        "name": "inside",
        "run_dir": str(tmp_path / "run"),
        "batch": {**BATCH, "max_requests": 12},
        "budget": {"max_usd": 1},
        "service": {"base_url": remote.url, "timeout_seconds": 2},
    }


def keep(whole: list[Any], name: str) -> None:
    _kept[name] = whole


def embed(
    inputs: list[Any], settings: Any, runner: str = LOCAL_RUNNER, **more: Any
) -> tuple[list[Embedding], list[EmbedReject]]:
    """Run a pipeline of the caller's; vectors in their order."""
    _kept.clear()
    options = PipelineOptions([f"--runner={runner}"])
    with beam.Pipeline(options=options) as pipeline:
        result = pipeline | beam.Create(inputs) | Embed(settings, **more)
        for name, rows in result._asdict().items():
            whole = rows | f"All_{name}" >> beam.combiners.ToList()
            _ = whole | f"Keep_{name}" >> beam.Map(keep, name)
    return sorted(_kept["vectors"], key=lambda each: each.order), _kept["rejects"]


def jobs_in(remote: Remote, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every job that a run directory's run has bought."""
    from reembed.ledger.run_dir import open_run_dir

    newest = open_run_dir(settings["run_dir"]).newest_commit()
    assert newest is not None
    return remote.jobs_of(newest.commit.run)


def test_vectors_come_out_in_the_order_of_keys_and_a_second_pipeline_buys_nothing(
    remote: Remote, settings: dict[str, Any]
) -> None:
    shuffled = random.Random(7).sample(INPUTS, len(INPUTS))
    vectors, rejects = embed(shuffled, settings)
    assert [each.key for each in vectors] == [each.key for each in INPUTS]
    assert len({each.order for each in vectors}) == len(vectors)
    assert not rejects
    for each in vectors:
        assert np.linalg.norm(each.embedding) == pytest.approx(1, abs=1e-5)
    jobs = jobs_in(remote, settings)
    assert len(jobs) == 4
    again, _ = embed(INPUTS, settings)
    assert again == vectors
    assert jobs_in(remote, settings) == jobs
