"""Errors become exit codes, and a reader that leaves early is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from e2e.harness import COMMAND, environment
from reembed import errors
from reembed.cli.exits import exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("a", "b", "c"), 2),
        (errors.ComeAgainError("x"), 75),
        (errors.RunFailedError("x"), 1),
        (errors.StorageError("x"), 1),
        (errors.AccessDeniedError("x", 403), 1),
        (errors.TransientError("x", 503), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_exit_code(error: errors.ReembedError, code: int) -> None:
    assert exit_code(error) == code


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    config = tmp_path / "job.yaml"
    config.write_text("name: pipe\nsource: {files: ['*.txt']}\n")
    piped = f"{COMMAND} plan {config} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {piped}"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert "Plan " in done.stdout
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
