"""A loaded configuration over a small corpus in the test's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reembed.config.load import ResolvedConfig, config_from_mapping


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ResolvedConfig]:
    """Write ten texts once; load a configuration over them with changed sections."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(10):
        (corpus / f"{number}.txt").write_text(f"Text number {number}, about {number * 31}.")

    def make(**sections: Any) -> ResolvedConfig:
        base = {"name": "pipes", "run_dir": "./run", "source": {"files": ["corpus/**"]}}
        return config_from_mapping({**base, **sections}, tmp_path)

    return make
