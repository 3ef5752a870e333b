"""The wheel as users get it: built, installed into an empty environment, and started there."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from reembed.version import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_wheel_and_a_source_archive_are_built_and_tried(tmp_path: Path) -> None:
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("scripts/setup has not made .venv here")
    done = subprocess.run(
        [ROOT / "scripts" / "release", tmp_path],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    archive, wheel = f"reembed-{__version__}.tar.gz", f"reembed-{__version__}-py3-none-any.whl"
    assert done.stdout.splitlines() == ["built and tried:", wheel, archive]
    with zipfile.ZipFile(tmp_path / wheel) as opened:
        inside = {name.split("/")[0] for name in opened.namelist()}
    assert inside == {"reembed", "reembed_emulator", f"reembed-{__version__}.dist-info"}
    with tarfile.open(tmp_path / archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "LICENSE", "THIRD_PARTY.md", "CHANGELOG.md"} <= names
