"""A loaded configuration over a small corpus in the test's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reembed.config.load import ResolvedConfig
from support.loading import over_ten_texts


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ResolvedConfig]:
    """Load a configuration over ten texts with changed sections."""
    return over_ten_texts(tmp_path)
