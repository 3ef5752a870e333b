"""Scripts of the project that install something, run as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.waiting import DEADLINE

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run_script(
    name: str, home: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with a home of its own; returns what it said and how it ended."""
    return subprocess.run(
        [sys.executable, str(SCRIPTS / name), "--home", str(home), *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
