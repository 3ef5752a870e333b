"""The package as an installer sees it: its version, its script, its promises in pyproject."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
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
    [
        *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
        *("LICENSE", "THIRD_PARTY.md", "Dockerfile"),
    ],
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
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["dataflow"], *extras["dev"]]


# Packages whose name is not that of the module which is imported.
NAMES = {
    "PIL": "pillow",
    "google.cloud.bigquery_storage_v1": "google-cloud-bigquery-storage",
    "google.cloud.secretmanager_v1": "google-cloud-secret-manager",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "simdjson": "pysimdjson",
    "yaml": "pyyaml",
}


def test_every_imported_package_is_declared_and_every_declared_one_imported() -> None:
    declared = {
        _canonical(re.split(r"[<>=~! ;]", d)[0]) for d in PROJECT["project"]["dependencies"]
    }
    imported = {_package_of(name) for path in _sources() for name in _imported(path)}
    assert imported - declared == set(), "imported and not in pyproject.toml"
    assert declared - imported == set(), "in pyproject.toml and imported nowhere"


def _sources() -> Iterator[Path]:
    return (ROOT / "src").rglob("*.py")


def _imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports from outside, at its top or inside functions."""
    ours = {each.name for each in (ROOT / "src").iterdir()} | {"__future__"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] not in sys.stdlib_module_names | ours:
                yield name


def _package_of(module: str) -> str:
    """Name the package of a module; those of Google share the first parts of their names."""
    parts = module.split(".")
    count = {"google": 2, "google.cloud": 3}
    name = ".".join(parts[: count.get(".".join(parts[:2]), count.get(parts[0], 1))])
    return NAMES.get(name, _canonical(name))


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
