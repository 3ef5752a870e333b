"""A BigQuery server for tests: started on free ports, its environment set and restored."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reembed.bigquery.names import TableName
from support.servers import Script, started

PROJECT = "test"
_MISSING = 3
_SCRIPT = Script(
    name="bigquery-server",
    what="BigQuery",
    variable="BIGQUERY_EMULATOR_HOST",
    asked=f"/bigquery/v2/projects/{PROJECT}/datasets",
    is_missing=lambda code, said: code == _MISSING,
)
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
    """
    options = ["--no-install", "--dir", str(folder / "tables")]
    environment = {"STORAGE_EMULATOR_HOST": storage} if storage else {}
    with started(_SCRIPT, folder / "server.log", *options, **environment) as said:
        yield BigQueryServer(*said)
