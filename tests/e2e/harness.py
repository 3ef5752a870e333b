"""A project of a user: a folder with a corpus and a configuration, and the commands run on it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from reembed.config.load import load_config
from reembed.core.canaries import canary_count
from reembed.core.plans import PlanSummary
from reembed.driver.session import Session
from reembed.ledger.run_dir import RunDir
from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
from support.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("reembed")
# Quick polling; short leases, so that a killed run need not be waited for.
BATCH = {"poll_seconds": [0.1, 0.4], "lease_seconds": 2, "list_lag_seconds": 0.2}
_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """This process's environment without any key of the user's."""
    kept = {name: value for name, value in os.environ.items() if name not in _KEYS}
    return {**kept, **more}


def reembed(*arguments: object, timeout: float = DEADLINE, **env: Any) -> Done:
    """Run the real command in a process of its own."""
    process = start(*arguments, **env)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return Done(process.returncode, out, err)


def start(*arguments: object, **env: str) -> subprocess.Popen[str]:
    """Start the real command, in a process group of its own."""
    return subprocess.Popen(
        [str(COMMAND), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**env),
        start_new_session=True,
    )


def invoke(*arguments: object) -> Done:
    """Run a command in this process: the same as the real one, without its two seconds to start."""
    from reembed.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with _as_it_was(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code
    return Done(0 if code is None else int(str(code)), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Put back what a command owns in its own process: signals, log handlers, warnings, the key."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    keys = {name: os.environ.pop(name) for name in _KEYS if name in os.environ}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.update(keys)
        root.handlers[:], root.level = handlers, level
        for number, handler in before.items():
            signal.signal(number, handler)


class Remote:
    """The emulator as a test watches it."""

    def __init__(self, server: EmulatorServer) -> None:
        self.server, self.url = server, server.base_url

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs ever created here, oldest first."""
        return list(self._get("jobs")["jobs"])

    def jobs_of(self, run: str) -> list[dict[str, Any]]:
        return [job for job in self.jobs() if job["display_name"].startswith(f"{run}/")]

    def billed(self, run: str) -> int:
        """The rows that a run was billed for."""
        return sum(job["billed_rows"] for job in self.jobs_of(run))

    def count(self, *routes: str) -> int:
        """Requests of these routes so far, whatever their answer."""
        rows = self._get("requests")["counts"]
        return sum(row["count"] for row in rows if row["route"] in routes)

    def advance(self, seconds: float) -> None:
        httpx.post(f"{self.url}/emulator/advance", json={"seconds": seconds}).raise_for_status()

    def faults(self, *faults: dict[str, Any]) -> None:
        httpx.post(f"{self.url}/emulator/faults", json=list(faults)).raise_for_status()

    def _get(self, what: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}/emulator/{what}").raise_for_status().json()
        return answer


@contextlib.contextmanager
def emulator(**settings: Any) -> Iterator[Remote]:
    """Serve an emulator on a free port until the block ends."""
    quick = {"port": 0, "pending_seconds": 0.05, "running_seconds": 0.05}
    with EmulatorServer(EmulatorSettings(**{**quick, **settings})) as server:
        yield Remote(server)


class Held:
    """An emulator whose jobs take an hour, until `let_go`: none ends before a test wants it."""

    def __init__(self, folder: Path) -> None:
        self._serving = contextlib.ExitStack()
        # The port stays the same, since it stands in the configuration of the run.
        self._place: dict[str, Any] = {"port": _free_port(), "state_dir": folder}
        slow = emulator(**self._place, pending_seconds=0, running_seconds=3600)
        self.remote = self._serving.enter_context(slow)

    def let_go(self) -> None:
        """Serve the same jobs from an emulator on which they end at once."""
        self.close()
        self.remote = self._serving.enter_context(emulator(**self._place))

    def close(self) -> None:
        self._serving.close()


@contextlib.contextmanager
def held_emulator(folder: Path) -> Iterator[Held]:
    """Serve such an emulator until the block ends; its state lies in a folder."""
    held = Held(folder)
    try:
        yield held
    finally:
        held.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass(frozen=True)
class Project:
    """A folder with ``job.yaml`` and ``corpus/``; its runs go to ``run/`` unless told otherwise."""

    folder: Path
    url: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """Write the configuration, and return where it lies."""
        base: dict[str, Any] = {
            "name": "harness",
            "run_dir": "./run",
            "source": {"files": ["corpus/**"]},
            "batch": BATCH,
            "budget": {"max_usd": 1},
            "service": {"base_url": self.url},
            "destination": {"text": True},
        }
        path = self.folder / "job.yaml"
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(_merged(base, self.settings)), encoding="utf-8")
        return path

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def write(self, files: Mapping[str, bytes | str]) -> Project:
        for name, data in files.items():
            path = self.folder / "corpus" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return self

    def results(self, run_dir: Path | str | None = None) -> Results:
        return Results(Path(run_dir or self.run_dir))


@dataclass(frozen=True)
class Results:
    """What a run left in its directory."""

    run_dir: Path

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.run_dir / "report.json").read_text())
        return report

    @property
    def parts(self) -> list[Path]:
        return sorted((self.run_dir / "vectors").glob("*.parquet"))

    def table(self) -> pa.Table:
        """All rows in the order of the parts' names."""
        return pa.concat_tables(pq.read_table(part) for part in self.parts)

    def rows(self) -> list[dict[str, Any]]:
        return list(self.table().to_pylist()) if self.parts else []

    def rejects(self) -> list[dict[str, Any]]:
        paths = sorted((self.run_dir / "rejects").glob("*.parquet"))
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def reasons(self) -> dict[str, str]:
        """The reason of every reject by its key; an item rejected in parts counts once."""
        return {row["key"]: row["reason"] for row in self.rejects()}

    def files(self) -> Iterator[Path]:
        return (path for path in self.run_dir.rglob("*") if path.is_file())


class Silent:
    """An observer that shows nothing."""

    def planning(self, run_dir: RunDir) -> None: ...

    def planned(self, plan: PlanSummary) -> None: ...

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None: ...

    def ended(self) -> None: ...

    def say(self, text: str) -> None: ...


def run_with(project: Project, between: Callable[[], object]) -> Results:
    """Run the main job; `between` happens when the plan stands and nothing was sent yet."""
    from reembed.runs.options import RunOptions
    from reembed.runs.run import run

    loaded = load_config(project.config)

    def approve(plan: PlanSummary) -> float:
        between()
        return 1.0

    report = run(loaded, RunOptions(approve=approve), Silent())
    assert report["planned"] == report["rows"] + report["rejects"] + report["skipped"]
    assert report["state"] == "settled"
    return project.results()


def one_line(text: str) -> str:
    """The only line of what a refused command said."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


def requests_of(total: int) -> int:
    """The requests of a job of so many lines, without its canaries."""
    return next(n for n in range(total, -1, -1) if n + canary_count(n) == total)


def texts(count: int) -> dict[str, str]:
    """Short texts, each different from the others."""
    words = ("river", "violin", "granite", "bread", "orbit")
    return {
        f"note {n:03}.txt": f"Note {n}: a {words[n % len(words)]} and number {n * 7919}."
        for n in range(count)
    }


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        inner: Any = merged.get(name)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(inner, value) if both else value
    return merged
