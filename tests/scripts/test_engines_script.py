"""What scripts/engines says and makes; that engines run is seen in tests/e2e/test_engines.py."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import apache_beam
import pytest

from support.scripts import SCRIPTS, run_script

run = partial(run_script, "engines")


def test_what_was_never_installed_says_how(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "--no-install", "--only", "prism")
    assert done.returncode == 3
    assert "PRISM" not in done.stdout
    assert "prism cannot be had: it is not installed; run ./scripts/engines" in done.stderr


@pytest.mark.parametrize(("part", "tool"), [("prism", "Go"), ("flink", "Java")])
def test_a_missing_tool_is_said_then_and_later(tmp_path: Path, part: str, tool: str) -> None:
    for option in ("--install", "--no-install"):
        done = run(tmp_path / "home", option, "--only", part, PATH=str(tmp_path))
        assert done.returncode == 3
        assert f"{part} cannot be had: {tool} is missing" in done.stderr


def test_a_failed_download_is_said_with_its_reason_and_leaves_nothing(tmp_path: Path) -> None:
    context = tmp_path / "bin"
    context.mkdir()
    (context / "go").write_text("#!/bin/sh\necho 'no such module' >&2\nexit 1\n")
    (context / "go").chmod(0o755)
    home = tmp_path / "home"
    done = run(home, "--only", "prism", PATH=f"{context}:/usr/bin:/bin")
    assert done.returncode == 3
    assert "failed: no such module" in done.stderr
    assert not [path for path in home.iterdir() if path.is_dir()]


def test_what_is_made_once_is_found_again(tmp_path: Path) -> None:
    context, home = tmp_path / "bin", tmp_path / "home"
    context.mkdir()
    (context / "java").write_text("#!/bin/sh\n")
    jar = "beam-runners-flink-1.19-2.70.0.jar"
    mvn = (
        "#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done\n"
        'mkdir -p "$d"\nfor n in $(seq 40); do echo > "$d/a-long-name-$n.jar"; done\n'
        f'echo > "$d/{jar}"\n'
    )
    (context / "mvn").write_text(mvn)
    for tool in context.iterdir():
        tool.chmod(0o755)
    first = run(home, "--only", "flink", PATH=f"{context}:/usr/bin:/bin")
    assert first.returncode == 0, first.stderr
    assert run(home, "--only", "flink", "--no-install").stdout == first.stdout
    [line] = [text for text in first.stdout.splitlines() if "FLINK_JAR" in text]
    with zipfile.ZipFile(line.split("=", 1)[1]) as starter:
        manifest = starter.read("META-INF/MANIFEST.MF")
    assert all(len(text) <= 72 for text in manifest.split(b"\r\n"))
    whole = manifest.replace(b"\r\n ", b"").decode()
    assert f"jars/{jar}" in whole
    assert all(f"jars/a-long-name-{number}.jar" in whole for number in range(1, 41))


def test_prism_is_of_the_beam_that_is_installed() -> None:
    assert f'BEAM = "{apache_beam.__version__}"' in (SCRIPTS / "engines").read_text()
