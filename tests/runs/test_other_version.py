"""A run directory that version 0.1.0 wrote: every command refuses it by name, and changes nothing.

`tests/data/run_dir_0_1` was written by that version: a settled run of two texts and a reject. What
only takes space (the manifest, the listing, the log) was left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reembed.core.plans import PlanSummary
from reembed.core.records import Commit
from reembed.errors import OtherVersionError, RunFailedError
from reembed.ledger.run_dir import RunDir, open_run_dir

OLD = Path(__file__).parents[1] / "data" / "run_dir_0_1"
COMMANDS = (
    "plan",
    "run",
    "submit",
    "advance",
    "status",
    "cancel",
    "redrive",
    "cutover",
    "rollback",
)
CONFIG = """
name: old
run_dir: ./run
source: {files: ["./in/*"]}
model: {dimensions: 128}
service: {base_url: "http://127.0.0.1:9"}
budget: {max_usd: 1}
"""
TABLE = "destination: {bigquery: {table: proj-1.data.items, view: proj-1.data.current}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration beside an old run directory."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("Rye bread rises slowly.")
    (tmp_path / "config.yaml").write_text(CONFIG)
    shutil.copytree(OLD, tmp_path / "run")
    return tmp_path


def run_dir_of(folder: Path) -> RunDir:
    return open_run_dir(str(folder / "run"))


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of the run directory but the log, which every call writes."""
    found = (path for path in (folder / "run").rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.parent.name != "logs"}


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the folder."""
    words = [sys.executable, "-m", "reembed", arguments[0], "config.yaml", *arguments[1:]]
    environ = {
        **os.environ,
        "GEMINI_API_KEY": "any",
        "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9",
    }
    return subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def unsettle(folder: Path) -> None:
    """Make the old run one that its version had not finished."""
    (folder / "run/ledger/runs/0001/settled.g0").unlink()
    (folder / "run/ledger/runs/0001/published.g0").unlink()


def uncommit(folder: Path) -> None:
    """Leave an old plan that was never committed."""
    shutil.rmtree(folder / "run" / "ledger")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_names_the_version_and_the_remedy(folder: Path, command: str) -> None:
    if command in ("cutover", "rollback"):
        (folder / "config.yaml").write_text(CONFIG + TABLE)
    if command in ("submit", "cancel", "advance"):
        unsettle(folder)
    before = files_of(folder)
    done = call(folder, command)
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("reembed: ")]
    assert line == (
        f"reembed: run directory {folder}/run was written by reembed 0.1.0 (record schema 1), "
        "which this version does not read: finish the run with that version, or give another "
        "run_dir"
    )
    assert files_of(folder) == before


def test_a_trace_and_the_doctor_refuse_it_too(folder: Path) -> None:
    before = files_of(folder)
    traced = call(folder, "trace", "a.txt")
    assert traced.returncode == 2
    assert "was written by reembed 0.1.0" in traced.stderr
    checked = call(folder, "doctor")
    assert checked.returncode == 1
    assert f"no  run directory: run directory {folder}/run was written by" in checked.stdout
    assert files_of(folder) == before


def test_a_plan_that_was_never_committed_is_refused_before_anything_is_written(
    folder: Path,
) -> None:
    uncommit(folder)
    before = files_of(folder)
    done = call(folder, "plan")
    assert done.returncode == 2, done.stderr
    assert "was written by reembed 0.1.0 (record schema 1)" in done.stderr
    assert files_of(folder) == before


def test_another_run_dir_is_taken(folder: Path) -> None:
    done = call(folder, "plan", "--run-dir", "new")
    assert done.returncode == 0, done.stderr


def test_what_reads_a_run_directory_refuses_it(folder: Path) -> None:
    run_dir = run_dir_of(folder)
    for read in (run_dir.check_version, run_dir.newest_commit, lambda: list(run_dir.commits())):
        with pytest.raises(OtherVersionError, match="was written by reembed 0"):
            read()
    uncommit(folder)
    assert run_dir.newest_commit() is None
    with pytest.raises(OtherVersionError, match="record schema 1"):
        run_dir.check_version()


def test_a_new_run_directory_and_one_that_is_not_there_are_taken(tmp_path: Path) -> None:
    open_run_dir(str(tmp_path / "none")).check_version()
    (tmp_path / "run").mkdir()
    run_dir_of(tmp_path).check_version()


def test_records_of_the_old_version_are_told_from_damaged_ones() -> None:
    [plan] = (OLD / "plans").glob("*/plan.json")
    with pytest.raises(OtherVersionError, match="json was written by reembed 0"):
        PlanSummary.decode(plan.read_bytes(), str(plan))
    with pytest.raises(RunFailedError, match="not a Commit record"):
        Commit.decode(b'{"schema": 7}', "commit")
    with pytest.raises(RunFailedError, match="not a Commit record"):
        Commit.decode(b'{"schema": [1]}', "commit")
