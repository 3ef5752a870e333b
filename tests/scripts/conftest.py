"""Make the demo corpus once for all tests of its script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import DEADLINE

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_corpus.py"


def make_corpus(
    *arguments: str | Path, cwd: Path | None = None, hash_seed: str = "0"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=cwd,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONUTF8": "1"},
    )


@pytest.fixture(scope="session")
def run_make_corpus():
    return make_corpus


@pytest.fixture(scope="session")
def first_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "made" / "when missing"
    done = make_corpus(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="session")
def corpus(first_run):
    return first_run[0]
