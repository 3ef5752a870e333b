"""The command line itself: help, versions, exit codes, errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from e2e.harness import invoke
from reembed.cli.main import app
from reembed.version import __version__

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
HEAVY = (
    "apache_beam",
    "av",
    "google.genai",
    "google.cloud.storage",
    "numpy",
    "pyarrow",
    "pydantic",
    "starlette",
    "uvicorn",
)


def test_the_promised_commands_are_there() -> None:
    assert {"plan", "run", "status", "doctor", "emulator"} <= set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom reembed.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as left:\n    assert not left.code\n"
        f"sys.stderr.write(repr([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]"
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    done = invoke(command, "--help")
    assert done.code == 0
    assert "Usage" in done.out


def test_the_version() -> None:
    assert invoke("--version").out.strip() == f"reembed {__version__}"


def test_without_a_command_it_shows_help() -> None:
    done = invoke()
    assert "Usage" in done.out + done.err
    assert done.code in (0, 2)


def test_a_run_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "blocked").write_text("a file")
    config = tmp_path / "job.yaml"
    config.write_text("name: blocked\nrun_dir: ./blocked/run\nsource: {files: ['*.txt']}\n")
    for command in ("plan", "run", "doctor"):
        done = invoke(command, config, "--set", "service.base_url=http://127.0.0.1:1")
        assert done.code == 2
        assert done.err.startswith("reembed: run_dir: ")
        assert "--run-dir" in done.err
