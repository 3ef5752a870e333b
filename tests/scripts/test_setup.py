"""The set-up of .venv: uv first, pip where uv fails, nothing where nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# Stands for python, pip and uv: each call is a line in `calls`, and uv fails at the mark
# `broken`, pip at the mark `offline`.
STUB = """#!/bin/sh
name="$(basename "$0")"
echo "$name $*" >> "$CALLS"
case "$name $*" in
  *"-m venv"*)
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python ;;
  *"-m pip config list")
    cat "$CALLS.pip" 2> /dev/null ;;
  *"-m pip"*" install "*)
    [ ! -e "$CALLS.offline" ] ;;
  uv*)
    env | grep -E '^(UV_|SSL_CERT_FILE|ALL_PROXY)' | sort > "$CALLS.env"
    [ ! -e "$CALLS.broken" ] ;;
esac
"""


class Copy:
    """A copy of the project's set-up with stubs in place of what it calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        for name in ("setup", "uv"):
            (folder / "scripts").mkdir(exist_ok=True)
            shutil.copy(SCRIPTS / name, folder / "scripts" / name)
        for name in ("python3", "uv"):
            stub = folder / "bin" / name
            stub.parent.mkdir(exist_ok=True)
            stub.write_text(STUB)
            stub.chmod(0o755)
        (folder / "src" / "reembed").mkdir(parents=True)
        for name in ("requirements.lock", "pyproject.toml", "src/reembed/version.py"):
            (folder / name).write_text(f"# {name}\n")

    def run(self, script: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        given = {
            "CALLS": str(self.calls),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}/usr/bin:/bin",
        }
        return subprocess.run(
            [self.folder / "scripts" / script, *arguments],
            env={"HOME": str(self.folder), **given, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def called(self) -> list[str]:
        """Return the calls since the last time."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line for line in lines if "-c import" not in line and "config list" not in line]

    def mark(self, kind: str, text: str = "") -> None:
        self.calls.with_name(f"calls.{kind}").write_text(text)

    def uv_environment(self) -> dict[str, str]:
        lines = self.calls.with_name("calls.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_uv_installs_the_lock_once(copy: Copy) -> None:
    assert copy.run("setup").returncode == 0
    assert copy.called() == [
        "python3 -m venv --without-pip .venv",
        "uv pip sync --quiet --python .venv/bin/python requirements.lock",
        "uv pip install --quiet --python .venv/bin/python"
        " --no-deps --no-build-isolation --editable .",
    ]
    again = copy.run("setup")
    assert (again.returncode, again.stderr, copy.called()) == (0, "", [])
    (copy.folder / "requirements.lock").write_text("# another\n")
    assert copy.run("setup").returncode == 0
    assert [call.split()[:3] for call in copy.called()] == [
        ["uv", "pip", "sync"],
        ["uv", "pip", "install"],
    ]


def test_pip_installs_where_uv_fails_and_one_line_tells_it(copy: Copy) -> None:
    copy.mark("broken")
    done = copy.run("setup")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "Setting up .venv ...",
        "uv did not install the packages; pip does it now, which takes a minute or two ...",
    ]
    installed = [call for call in copy.called() if "--quiet" in call and "-m pip" in call]
    assert [call.partition(" install ")[2] for call in installed] == [
        "--no-compile --no-deps --requirement requirements.lock",
        "--no-compile --no-deps --no-build-isolation --editable .",
    ]
    assert copy.run("setup").stderr == ""


def test_readers_are_a_step_of_their_own(copy: Copy) -> None:
    copy.run("setup")
    copy.called()
    assert copy.run("setup", "--readers").returncode == 0
    [call] = copy.called()
    assert call.startswith("uv pip install")
    assert call.endswith(
        "--constraint requirements.lock --no-build-isolation --editable .[readers]"
    )
    assert copy.run("setup", "--readers").returncode == 0
    assert copy.called() == []


def test_what_was_left_halfway_is_not_taken_for_done(copy: Copy) -> None:
    lock = copy.folder / "requirements.lock"
    copy.run("setup")
    copy.mark("broken")
    copy.mark("offline")
    for text in ("# another\n", "# requirements.lock\n"):
        lock.write_text(text)
        assert copy.run("setup").returncode == 1


def test_an_environment_of_another_folder_is_left_alone(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (copy.folder / ".venv").symlink_to(tmp_path / "elsewhere")
    done = copy.run("setup")
    assert (done.returncode, copy.called()) == (0, [])
    assert ".venv is a link" in done.stderr


def test_uv_goes_where_pip_is_configured_to_go(copy: Copy) -> None:
    copy.mark(
        "pip",
        "global.index-url='https://mirror.example/simple'\n"
        "global.extra-index-url='\\nhttps://one.example\\nhttps://two.example'\n"
        "install.cert='/etc/own.pem'\n"
        "global.cert='/etc/other.pem'\n"
        "global.proxy='http://proxy.example:3128'\n",
    )
    copy.run("setup")
    assert copy.uv_environment() == {
        "ALL_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/etc/own.pem",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example https://two.example",
        "UV_SYSTEM_CERTS": "1",
    }
    copy.run("uv", "pip", "list", UV_DEFAULT_INDEX="https://mine.example", UV_SYSTEM_CERTS="0")
    assert copy.uv_environment()["UV_DEFAULT_INDEX"] == "https://mine.example"
    assert copy.uv_environment()["UV_SYSTEM_CERTS"] == "0"
