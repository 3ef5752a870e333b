"""A Cloud Storage server for tests: started on a free port, its environment set and restored."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.servers import Script, started

_SCRIPT = Script(
    name="gcs-server",
    what="Cloud Storage",
    variable="STORAGE_EMULATOR_HOST",
    asked="/storage/v1/b?project=test",
    is_missing=lambda code, said: "is missing" in said,
)


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

    `options` go to the script, for instance ``--bucket NAME``.
    """
    with started(_SCRIPT, folder / "server.log", "--dir", str(folder), *options) as said:
        yield GcsServer(*said)
