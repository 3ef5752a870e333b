"""The package as an installer sees it: its version, its script, its promises in pyproject."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_the_one_that_is_installed() -> None:
    from reembed.version import __version__

    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert importlib.metadata.version("reembed") == __version__


def test_the_console_script_leads_to_the_command_line() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="reembed")
    loaded = [script.load() for script in scripts]
    from reembed.cli.main import main

    assert loaded == [main]


@pytest.mark.parametrize("package", ["reembed", "reembed_emulator"])
def test_types_are_shipped(package: str) -> None:
    loaded = importlib.import_module(package)
    assert (Path(loaded.__file__ or "").parent / "py.typed").is_file()
    assert f"src/{package}" in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize(
    "name",
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Dockerfile"],
)
def test_the_files_that_a_newcomer_looks_for_are_there(name: str) -> None:
    assert (ROOT / name).is_file(), f"{name} is missing"
    assert (ROOT / name).stat().st_size > 200, f"{name} says next to nothing"


def test_the_lock_pins_every_dependency_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    pinned = {_canonical(line.split("==")[0]) for line in lock.splitlines() if "==" in line}
    wanted = {_canonical(re.split(r"[\[<>=~! ;]", text)[0]) for text in _dependencies()}
    assert not wanted - pinned, f"requirements.lock lacks {sorted(wanted - pinned)}"


def _dependencies() -> list[str]:
    project = PROJECT["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split("[")[0].strip()).lower()


def test_the_light_modules_import_no_heavy_library() -> None:
    code = (
        "import sys, reembed, reembed.types, reembed.errors, reembed.cli.main;"
        "print([m for m in ('apache_beam', 'av', 'google.genai', 'numpy', 'pyarrow', 'pydantic')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
