"""A configuration and a run directory in the test's folder; steps run on elements."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from reembed.beam.engine import LOCAL_RUNNER
from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.config.schema import Config
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.types import Item, Position
from support.loading import over_ten_texts


@pytest.fixture
def config(tmp_path: Path) -> Config:
    data = {"name": "steps", "run_dir": str(tmp_path / "run"), "source": {"files": ["**"]}}
    return config_from_mapping({**data, "batch": {"max_requests": 8}}, tmp_path).config


@pytest.fixture
def run_dir(config: Config) -> RunDir:
    return open_run_dir(config.run_dir)


@pytest.fixture
def item(tmp_path: Path) -> Callable[..., Item]:
    """Write a file and list it by hand."""
    from reembed.storage.local import LocalStorage

    def make(index: int, data: bytes, name: str = "") -> Item:
        path = tmp_path / (name or f"item-{index:05}.txt")
        path.write_bytes(data)
        stat = LocalStorage().stat(str(path))
        return Item(path.name, stat.uri, Position(index), stat.size, stat.generation)

    return make


@pytest.fixture
def run_steps() -> Callable[..., list[Any]]:
    """Run elements through a transform; return what came out, in no order."""

    def run(elements: list[Any], step: beam.PTransform) -> list[Any]:
        with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
            (
                pipeline
                | beam.Create(elements)
                | step
                | "Whole" >> beam.combiners.ToList()
                | "Keep" >> beam.Map(_keep)
            )
        return _kept.pop()

    return run


_kept: list[list[Any]] = []


def _keep(whole: list[Any]) -> None:
    _kept.append(whole)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ResolvedConfig]:
    """Load a configuration over ten texts with changed sections."""
    return over_ten_texts(tmp_path)
