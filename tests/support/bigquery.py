"""A BigQuery server for tests: started on free ports, its environment set and restored."""

from __future__ import annotations

import itertools
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

from reembed.core.table_names import TableName
from support.gcs import environment_set

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bigquery-server"
PROJECT = "test"
_MISSING = 3
_numbers = itertools.count(1)


@dataclass(frozen=True)
class BigQueryServer:
    """A running server: its address, and what a process needs in its environment to use it."""

    url: str
    environment: dict[str, str]

    def make_dataset(self, name: str = "") -> str:
        """Make a dataset and return its name, by default one that is new."""
        name = name or f"d{next(_numbers)}"
        reference = {"projectId": PROJECT, "datasetId": name}
        request = urllib.request.Request(
            f"{self.url}/bigquery/v2/projects/{PROJECT}/datasets",
            data=json.dumps({"datasetReference": reference}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20):
            return name

    def table(self, table: str, dataset: str = "") -> TableName:
        """Name a table, by default in a dataset of its own."""
        return TableName(PROJECT, dataset or self.make_dataset(), table)


@contextmanager
def start_bigquery(folder: Path, storage: str = "") -> Iterator[BigQueryServer]:
    """Run a server until the block ends, with its variables in `os.environ`.

    `storage` is the address of the Cloud Storage server that ``gs://`` files are loaded from.
    Skips the test when the server is not installed; any other failure to start is an error.
    """
    command = [sys.executable, str(SCRIPT), "--no-install", "--dir", str(folder / "tables")]
    log = folder / "server.log"
    environment = os.environ | ({"STORAGE_EMULATOR_HOST": storage} if storage else {})
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        if not all(lines):
            process.wait(timeout=10)
            reason = log.read_text().strip()
            if process.returncode == _MISSING:
                pytest.skip(reason)
            raise RuntimeError(f"the BigQuery server did not start: {reason}")
        pairs = [shlex.split(line)[1].split("=", 1) for line in lines]
        variables = {name: value for name, value in pairs}
        url = variables["BIGQUERY_EMULATOR_HOST"]
        _wait_until_ready(url, process, log)
        with environment_set(variables):
            yield BigQueryServer(url, variables)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        process.stdout.close()


def _wait_until_ready(url: str, process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/bigquery/v2/projects/{PROJECT}/datasets") as said:
                said.read()
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"the BigQuery server is not ready: {log.read_text()[-500:]}")
