"""A run directory on disk, and its ledger."""

from pathlib import Path

import pytest

from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.storage.local import LocalStorage

SHARD = "00000003-000007"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Names under a temporary folder."""
    return Layout(str(tmp_path / "run"))


@pytest.fixture
def ledger(layout: Layout) -> Ledger:
    """The ledger of commit 1."""
    return Ledger(LocalStorage(), layout, 1, "me")


@pytest.fixture
def shard() -> str:
    """The name of a shard."""
    return SHARD
