"""What the script says where the server cannot be had; that it runs is seen in tests/bigquery."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from support.scripts import run_script

run = partial(run_script, "bigquery-server")


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
