"""What the script says where the server cannot be had; that it runs is seen in tests/warehouse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bigquery-server"


def run(home: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--home", str(home), *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_was_never_installed_says_how(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "--no-install")
    assert (done.returncode, done.stdout) == (3, "")
    assert "it is not installed; run ./scripts/bigquery-server --install" in done.stderr


def test_a_missing_python_is_said_then_and_later(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    for option in ("--install", "--no-install"):
        done = run(tmp_path / "home", option, **nothing)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("local-bigquery cannot be had: Python 3.13 is missing")
