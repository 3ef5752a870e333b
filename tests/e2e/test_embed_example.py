"""`examples/embed_in_pipeline.py`, as its users run it: on several engines, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.harness import BATCH, ROOT, Remote, emulator, environment, texts
from support.engines import PROCESSES, engine
from support.waiting import wait_until

EXAMPLE = ROOT / "examples" / "embed_in_pipeline.py"
# The emulator refuses any other, so workers must have it, and have it from their environment.
KEY = {"GEMINI_API_KEY": "of-the-example"}
LOCAL = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
TWO_PROCESSES = (
    "--runner=DirectRunner",
    "--direct_num_workers=2",
    "--direct_running_mode=multi_processing",
)
KEYS = [f"note {n:03}.txt" for n in range(30)]


@dataclass(frozen=True)
class Example:
    """A folder with notes and a configuration, and an emulator whose jobs take a second."""

    folder: Path
    remote: Remote

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        names = ("job.yaml", "notes.jsonl", "vectors.jsonl")
        command = [sys.executable, str(EXAMPLE), *(str(self.folder / name) for name in names)]
        return subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**KEY),
            start_new_session=True,
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run the example to its end; its lines by their keys."""
        process = self.start(*arguments)
        try:
            said, _ = process.communicate(timeout=150)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        assert process.returncode == 0, said
        return self.vectors()

    def vectors(self) -> dict[str, Any]:
        lines = (self.folder / "vectors.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        rows.sort(key=lambda row: (row["source_index"], row["offset"], row["part"]))
        assert [row["key"] for row in rows] == KEYS
        return {row["key"]: row["embedding"] for row in rows}

    def check_jobs(self) -> None:
        """See that each shard was bought once."""
        names = [job["display_name"] for job in self.remote.jobs()]
        assert len(names) == len(set(names)) == 3


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    config = {
        "name": "example",
        "run_dir": "run",
        "batch": {**BATCH, "max_requests": 12},
        "budget": {"max_usd": 1},
    }
    notes = [{"key": key, "text": text} for key, text in texts(len(KEYS)).items()]
    lines = "".join(f"{json.dumps(note)}\n" for note in notes)
    (tmp_path / "notes.jsonl").write_text(lines, encoding="utf-8")
    with emulator(running_seconds=1, expected_key=KEY["GEMINI_API_KEY"]) as served:
        config["service"] = {"base_url": served.url, "timeout_seconds": 1}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        yield Example(tmp_path, served)


def test_a_pipeline_that_was_killed_goes_on_and_buys_nothing_twice(example: Example) -> None:
    process = example.start(LOCAL)
    try:
        wait_until(lambda: len(example.remote.jobs()) == 3, "three jobs are created")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not (example.folder / "vectors.jsonl").exists()
    first = example.run(LOCAL)
    example.check_jobs()
    assert example.run(LOCAL) == first
    example.check_jobs()


@pytest.mark.slow
def test_two_worker_processes_share_the_shards(example: Example) -> None:
    example.run(*TWO_PROCESSES)
    example.check_jobs()
    notes = (example.folder / "run").glob("ledger/runs/0001/progress/*")
    assert sorted(path.name for path in notes) == ["00000", "00001"], "one lane a worker"


@pytest.mark.slow
@pytest.mark.timeout(900)  # it may wait for an installation that is under way
def test_prism_gives_the_same(example: Example) -> None:
    prism = f"--prism_location={engine('prism')['PRISM']}"
    example.run("--runner=PrismRunner", prism, *PROCESSES)
    example.check_jobs()
