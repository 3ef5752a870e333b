"""The first command that a newcomer types, run for real."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.harness import ROOT, Results, environment, texts
from support.waiting import DEADLINE

DEMO = ROOT / "scripts" / "demo"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def undisturbed() -> None:
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("scripts/setup has not made .venv here")


def emulators() -> set[str]:
    """The emulators of this machine, by process id."""
    shown = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return {line.split()[0] for line in shown.splitlines() if "--state .demo/emulator" in line}


def demo(*arguments: object) -> str:
    before = emulators()
    done = subprocess.run(
        [str(DEMO), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment(GEMINI_API_KEY="never-to-be-used"),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not emulators() - before, "the demo left its emulator behind"
    return done.stdout


def test_the_demo_shows_counts_price_places_and_neighbours() -> None:
    shown = demo()
    report = Results(ROOT / ".demo" / "run").report
    assert report["state"] == "settled"
    assert set(report["tokens"]) == {"text", "image", "audio", "video", "pdf"}
    assert report["rejects"] == 9
    assert f"planned {report['planned']} = rows {report['rows']} + rejects 9 + skipped 0" in shown
    assert f"${report['usd']:.6f}" in shown
    assert str(ROOT / ".demo" / "run" / "vectors") in shown
    assert "Nearest neighbours" in shown
    around = shown.split("Nearest neighbours", 1)[1].splitlines()
    subjects = [line for line in around if line.startswith("  ") and not line.startswith("    ")]
    neighbours = [line for line in around if line.startswith("    ")]
    assert len(subjects) == 3
    assert len(neighbours) == 9
    assert all(0 < float(line.split()[0]) <= 1 for line in neighbours)


def test_the_demo_on_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "my files [1] 100%, \"so\" 'called'"
    folder.mkdir()
    for name, text in texts(8).items():
        (folder / name).write_text(text)
    (folder / "deeper").mkdir()
    shutil.copy(ROOT / "README.md", folder / "deeper")
    shown = demo(folder)
    results = Results(ROOT / ".demo" / "run")
    uris = {row["source_uri"] for row in results.rows()}
    assert len(uris) == 9
    assert all(uri.startswith(str(folder)) for uri in uris)
    assert "Nearest neighbours" in shown


def test_a_folder_that_is_none_is_refused() -> None:
    done = subprocess.run(
        [str(DEMO), "/no/such/folder"], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 2
    assert done.stderr == "demo: /no/such/folder is not a folder\n"
