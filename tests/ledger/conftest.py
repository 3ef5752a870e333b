"""A run directory, on disk and in Cloud Storage, and its ledger."""

import itertools
from pathlib import Path

import pytest

from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.storage.open import open_storage

SHARD = "00000003-000007"
_numbers = itertools.count()


@pytest.fixture(params=["disk", pytest.param("gcs", marks=pytest.mark.gcs)])
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """Names under a temporary folder, or under a prefix of a bucket."""
    if request.param == "disk":
        return Layout(str(tmp_path / "run"))
    request.getfixturevalue("gcs_server")
    return Layout(f"gs://tests/ledger-{next(_numbers)}/run")


@pytest.fixture
def ledger(layout: Layout) -> Ledger:
    """The ledger of commit 1."""
    return Ledger(open_storage(), layout, 1, "me")


@pytest.fixture
def shard() -> str:
    """The name of a shard."""
    return SHARD
