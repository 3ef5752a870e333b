"""The public functions, as a script or a notebook calls them, against the emulator."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reembed
from e2e.harness import BATCH, Remote, emulator, environment, texts

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with emulator() as served:
        yield served


@pytest.fixture
def config(tmp_path: Path, remote: Remote) -> dict[str, Any]:
    """A configuration in memory; its corpus is in the test's folder."""
    (tmp_path / "corpus").mkdir()
    for name, text in texts(20).items():
        (tmp_path / "corpus" / name).write_text(text)
    return {
        "name": "api",
        "run_dir": str(tmp_path / "run"),
        "source": {"files": [f"{tmp_path}/corpus/**"]},
        "batch": {**BATCH, "max_requests": 12},
        "service": {"base_url": remote.url},
    }


def test_the_names_are_those_of_the_guide() -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^::: reembed\.(\w+)$", guide, re.MULTILINE))
    assert documented == set(reembed.__all__) - {"__version__"}
    assert set(reembed.__all__) <= set(dir(reembed))
    for name in reembed.__all__:
        assert getattr(reembed, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'embed'"):
        _ = reembed.embed


def test_a_corpus_is_planned_run_and_read_in_input_order(
    config: dict[str, Any], remote: Remote
) -> None:
    before = len(remote.jobs())
    planned = reembed.plan(config)
    assert (planned.items, planned.requests, planned.rejects) == (20, 20, 0)
    assert 0 < planned.usd < planned.usd_online
    assert len(remote.jobs()) == before
    assert reembed.status(config) is None
    with pytest.raises(reembed.UsageError, match=r"nothing was run in .*/run yet"):
        reembed.read(config)

    report = reembed.run(config, max_usd=1, expect_plan=planned.plan)
    assert (report.state, report.rows, report.rejects, report.already) == ("settled", 20, 0, False)
    assert report.planned == report.rows + report.rejects + report.skipped
    assert report.usd <= report.usd_reserved <= 1
    assert report.details["run"] == report.run

    found = reembed.status(config)
    assert found is not None
    assert (found.state, found.rows) == ("settled", 20)
    rows = reembed.read(config, columns=["key", "embedding"])
    assert rows.column_names == ["key", "embedding"]
    assert [Path(key).name for key in rows["key"].to_pylist()] == sorted(texts(20))
    norms = np.linalg.norm(np.stack(rows["embedding"].to_numpy(zero_copy_only=False)), axis=1)
    assert norms == pytest.approx(1, abs=1e-5)

    bought = len(remote.jobs())
    assert reembed.run(config, max_usd=1).already
    assert len(remote.jobs()) == bought


def test_rows_of_an_increment_stand_where_their_inputs_do(
    config: dict[str, Any], tmp_path: Path
) -> None:
    reembed.run(config, max_usd=1)
    (tmp_path / "corpus" / "note 003.txt").write_text("Another text of number three.")
    (tmp_path / "corpus" / "note 000a.txt").write_text("One more, close to the beginning.")
    report = reembed.run(config, max_usd=1)
    assert (report.rows, report.skipped) == (2, 19)
    rows = reembed.read(config)
    order = rows.select(["source_index", "offset", "part"]).to_pylist()
    assert order == sorted(order, key=lambda row: tuple(row.values()))
    assert rows.num_rows == len(set(rows["key"].to_pylist())) == 21


def test_progress_is_given_to_a_callback_and_its_errors_end_nothing(
    config: dict[str, Any],
) -> None:
    seen: list[reembed.Progress] = []
    report = reembed.run(config, max_usd=1, on_progress=seen.append)
    assert {each.stage for each in seen} == {"planning", "embedding"}
    last = seen[-1]
    assert (last.done, last.total, last.shards) == (20, 20, {"settled": 2})
    assert last.usd_reserved == pytest.approx(report.usd_reserved)

    def breaks(progress: reembed.Progress) -> None:
        raise ZeroDivisionError(progress.stage)

    assert reembed.plan(config, on_progress=breaks).chunks == 20


def test_what_is_wrong_is_raised(config: dict[str, Any], tmp_path: Path, remote: Remote) -> None:
    before = len(remote.jobs())
    with pytest.raises(reembed.ConfigError, match=r"model\.dimensions: 7"):
        reembed.plan({**config, "model": {"dimensions": 7}})
    with pytest.raises(reembed.UsageError, match="there is no such file"):
        reembed.load_config(tmp_path / "none.yaml")
    with pytest.raises(reembed.UsageError, match=r"may cost up to \$0\.\d+, and no cap is set"):
        reembed.run(config)
    with pytest.raises(reembed.UsageError, match="expect-plan"):
        reembed.run(config, max_usd=1, expect_plan="0123456789abcdef")
    with pytest.raises(reembed.UsageError, match="takes no overrides"):
        reembed.load_config(reembed.load_config(config), overrides=["batch.max_requests=3"])
    with pytest.raises(reembed.ComeAgainError, match="the budget is used up"):
        reembed.run(config, max_usd=0)
    with pytest.raises(reembed.ComeAgainError, match="has not ended"):
        reembed.read(config)
    assert len(remote.jobs()) == before


def test_a_file_a_mapping_and_a_loaded_configuration_are_the_same(
    config: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(config))
    loaded = reembed.load_config(path, overrides=["batch.max_requests=9"], run_dir="elsewhere")
    assert loaded.config.batch.max_requests == 9
    assert loaded.config.run_dir == str(Path("elsewhere").absolute())
    # Keys are relative to the file's folder, or to the current one.
    for each in (config, path):
        assert reembed.plan(each).plan == reembed.plan(reembed.load_config(each)).plan


def test_it_works_in_a_thread_of_a_running_event_loop(config: dict[str, Any]) -> None:
    async def notebook() -> tuple[reembed.Report, reembed.Report]:
        aside = await asyncio.to_thread(reembed.run, config, max_usd=1)
        return aside, reembed.run(config, max_usd=1)  # and on the loop's own thread

    threads = threading.active_count()
    first, second = asyncio.run(notebook())
    assert (first.rows, second.already) == (20, True)
    assert threading.active_count() <= threads + 40


def test_a_script_prints_nothing_of_ours(config: dict[str, Any], tmp_path: Path) -> None:
    """In a process of its own, without any logging set up, and without its signals changed."""
    (tmp_path / "job.json").write_text(json.dumps(config))
    (tmp_path / "corpus" / "empty.txt").write_text("")
    code = (
        "import json, signal, sys, reembed\n"
        "config = json.load(open(sys.argv[1]))\n"
        "before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
        "report = reembed.run(config, max_usd=1)\n"
        "assert (report.rows, report.rejects) == (20, 1), report\n"
        "assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before\n"
        "try:\n    reembed.plan({**config, 'source': {'files': ['none/**']}})\n"
        "except reembed.UsageError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "job.json")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_module_runs_the_command_line() -> None:
    command = [sys.executable, "-m", "reembed", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"reembed {reembed.__version__}"
