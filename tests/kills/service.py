"""The emulator as a process of its own, and what its state says was created and paid."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from support.waiting import DEADLINE


@dataclass(frozen=True, slots=True)
class Paid:
    """What one run was billed: jobs by display name, and answered rows by shard and wire key."""

    jobs: Mapping[str, int]
    rows: Mapping[tuple[str, str], int]
    billed: int

    @property
    def twins(self) -> list[str]:
        """Names under which more than one job was created."""
        return sorted(name for name, count in self.jobs.items() if count > 1)

    @property
    def twice(self) -> int:
        """Rows that were paid more than once, counted as often as they were too many."""
        return sum(count - 1 for count in self.rows.values() if count > 1)


class Emulator:
    """A process that serves until `close`; its state lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        quick = ("--pending-seconds", "0.03", "--running-seconds", "0.03")
        command = [sys.executable, "-m", "reembed_emulator", "--port", "0", *quick]
        self._process = subprocess.Popen(
            [*command, "--state", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.search(r"http://[0-9.:]+", said)
        if found is None:
            self._process.kill()
            raise RuntimeError(f"the emulator did not start: {said!r}")
        self.url = found.group()
        self._client = httpx.Client(base_url=self.url, timeout=DEADLINE)

    def close(self) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(timeout=DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Put these in force instead of all others."""
        self._client.post("/emulator/faults", json=list(faults)).raise_for_status()

    def hide(self, run: str) -> None:
        """Take the jobs of a run out of the list, so that the next run's list stays short."""
        for job in self._jobs(run):
            self._client.delete(f"/v1beta/{job['name']}", headers={"x-goog-api-key": "local"})

    def paid(self, run: str) -> Paid:
        """What a run was billed, read from the jobs and from the answers that were written."""
        jobs = self._jobs(run)
        rows: Counter[tuple[str, str]] = Counter()
        for job in jobs:
            shard = job["display_name"].split("/")[1]
            rows.update((shard, key) for key in self._answered(job))
        names = Counter(job["display_name"] for job in jobs)
        return Paid(names, rows, sum(job["billed_rows"] for job in jobs))

    def _jobs(self, run: str) -> list[dict[str, Any]]:
        jobs = self._client.get("/emulator/jobs").raise_for_status().json()["jobs"]
        return [job for job in jobs if job["display_name"].startswith(f"{run}/")]

    def _answered(self, job: Mapping[str, Any]) -> list[str]:
        """The keys of the rows that a job was billed for."""
        places = (f"jobs/{job['id']}.output", f"files/batch-{job['id']}.data")
        found = [self.folder / place for place in places if (self.folder / place).exists()]
        if not job["billed_rows"]:
            return []
        lines = found[0].read_bytes().splitlines()
        answers = [orjson.loads(line) for line in lines]
        keys = [a.get("key") or a["metadata"]["key"] for a in answers if "error" not in a]
        assert len(keys) == job["billed_rows"], (job, len(keys))
        return keys
