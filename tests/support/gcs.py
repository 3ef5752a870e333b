"""A Cloud Storage server for tests: started on a free port, its environment set and restored."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gcs-server"


@dataclass(frozen=True)
class GcsServer:
    """A running server: its address, and what a process needs in its environment to use it."""

    url: str
    environment: dict[str, str]

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its ``gs://`` name."""
        body = json.dumps({"name": name}).encode()
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project=test",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            return f"gs://{name}"


@contextmanager
def start_gcs(folder: Path, *options: str) -> Iterator[GcsServer]:
    """Run a server until the block ends, with its variables in `os.environ`.

    `options` go to the script, for instance ``--bucket NAME``. Skips the test when the server's
    package is not installed; any other failure to start is an error.
    """
    command = [sys.executable, str(SCRIPT), "--dir", str(folder), *options]
    log = folder / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        if not all(lines):
            process.wait(timeout=10)
            reason = log.read_text().strip()
            if "is missing" in reason:
                pytest.skip(reason)
            raise RuntimeError(f"the Cloud Storage server did not start: {reason}")
        pairs = [shlex.split(line)[1].split("=", 1) for line in lines]
        environment = {name: value for name, value in pairs}
        url = environment["STORAGE_EMULATOR_HOST"]
        _wait_until_ready(url, process, log)
        with environment_set(environment):
            yield GcsServer(url, environment)
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


@contextmanager
def environment_set(values: dict[str, str]) -> Iterator[None]:
    """Set variables until the block ends."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _wait_until_ready(url: str, process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/storage/v1/b?project=test", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise RuntimeError(f"the Cloud Storage server is not ready: {log.read_text()[-500:]}")
