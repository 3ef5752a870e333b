"""The benchmarks with a mark run at all; what they measure depends on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["collect", "plan", "submit"])
def test_a_benchmark_runs_at_tiny_size(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "run_all.py"), "--tiny"]
    done = subprocess.run(
        [*command, "--only", name, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) >= 3
    assert any("`reembed --help`" in row for row in rows)
