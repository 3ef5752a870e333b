"""A run directory, on disk and in Cloud Storage, and its ledger."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from reembed.config.load import ResolvedConfig
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir, open_run_dir
from support.loading import over_ten_texts

SHARD = "00000003-000007"
_numbers = itertools.count()


@pytest.fixture(params=["disk", pytest.param("gcs", marks=pytest.mark.gcs)])
def run_dir(request: pytest.FixtureRequest, tmp_path: Path) -> RunDir:
    """Run directory in a temporary folder, or under a prefix of a bucket."""
    if request.param == "disk":
        return open_run_dir(str(tmp_path / "run"))
    request.getfixturevalue("gcs_server")
    return open_run_dir(f"gs://tests/ledger-{next(_numbers)}/run")


@pytest.fixture
def ledger(run_dir: RunDir) -> Ledger:
    """The ledger of commit 1."""
    return Ledger(run_dir, 1, "me")


@pytest.fixture
def shard() -> str:
    """The name of a shard."""
    return SHARD


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ResolvedConfig]:
    """Load a configuration over ten texts with changed sections."""
    return over_ten_texts(tmp_path)
