"""The command line itself: help, versions, exit codes, errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from e2e.harness import COMMAND, environment, invoke, reembed
from reembed import errors
from reembed.cli.exits import exit_code
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


class TestEmulator:
    """`reembed emulator` and its options."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--set", "speed=5"], "give NAME=VALUE with one of"),
            (["--set", "running_seconds"], "give NAME=VALUE with one of"),
            (["--set", "running_seconds=-1"], "-1 must be greater than or equal to 0"),
            (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
        ],
    )
    def test_what_it_cannot_be_is_refused(self, arguments: list[str], words: str) -> None:
        done = invoke("emulator", "--port", 0, *arguments)
        assert done.code == 2
        assert words in done.err

    def test_a_taken_port_is_named(self) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            done = invoke("emulator", "--port", port)
        assert done.code == 2
        assert f":{port}" in done.err
        assert "--port" in done.err

    def test_a_faults_file_that_holds_none(self, tmp_path: Path) -> None:
        path = tmp_path / "faults.yaml"
        path.write_text("- {on: batches.get, do: nonsense}\n")
        done = reembed("emulator", "--port", 0, "--faults", path)
        assert done.code == 2, done.err
        assert "nonsense" in done.err
        assert "Traceback" not in done.err
        for text, words in (("- [unclosed", "faults.yaml"), ("{}", "no list of faults")):
            path.write_text(text)
            done = invoke("emulator", "--port", 0, "--faults", path)
            assert done.code == 2
            assert words in done.err
        path.unlink()
        done = invoke("emulator", "--port", 0, "--faults", path)
        assert done.code == 2
        assert "faults.yaml" in done.err
        assert "cannot listen" not in done.err
