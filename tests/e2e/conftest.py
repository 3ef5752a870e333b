"""One emulator and one corpus for the tests of a worker; projects in folders of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import ROOT, Project, Remote, emulator


@pytest.fixture(scope="session")
def remote() -> Iterator[Remote]:
    with emulator() as served:
        yield served


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's corpus: all five modalities, odd names, broken files."""
    folder = tmp_path_factory.mktemp("made") / "corpus"
    script = ROOT / "scripts" / "make_corpus.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture
def project(tmp_path: Path, remote: Remote) -> Callable[..., Project]:
    """Make a project in the test's folder; arguments are sections of its configuration."""

    def make(url: str | None = None, **settings: Any) -> Project:
        return Project(tmp_path, url or remote.url, settings)

    return make
