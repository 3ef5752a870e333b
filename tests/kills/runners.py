"""How a process under test is started: a forked lane, or the real command."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from kills import lane
from kills.writes import VARIABLE, Watch
from reembed.driver.session import Session

COMMAND = Path(sys.executable).with_name("reembed")
HERE = Path(__file__).resolve().parent
_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL")

_CONTEXT = multiprocessing.get_context("forkserver")
# Each start looks after all earlier processes: two threads would read one exit code.
_multiprocessing = threading.Lock()


class Running(Protocol):
    """A process under test."""

    @property
    def pid(self) -> int: ...

    def wait(self, seconds: float) -> int:
        """How it ended: its exit code, or minus the signal that killed it."""


class Starter(Protocol):
    """Starts a process on a run; `resumed` says that one was there before."""

    def start(self, watch: Watch, said: Path, resumed: bool) -> Running: ...


def start_forkserver() -> None:
    """Start the server that forks lanes; it has imported all they need, so that each is quick."""
    # Also what is imported late, and what each process imports again as its main module.
    late = ["pyarrow.parquet", "pandas", "httpcore", "httpx", "anyio", "_strptime"]
    _CONTEXT.set_forkserver_preload(["kills.lane", "kills.bench", "pytest", *late])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = _path(HERE.parent)
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _path(*folders: Path) -> str:
    """A PYTHONPATH with these before what it holds already."""
    held = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([held] if held else [])])


@dataclass(frozen=True)
class LaneStarter:
    """Starts lanes of one run by forking."""

    session: Session
    plant: str = ""

    def start(self, watch: Watch, said: Path, resumed: bool) -> Running:
        session = replace(self.session, resumed=resumed)
        call = lane.Call(session, watch, str(said), self.plant)
        process = _CONTEXT.Process(target=lane.main, args=(call,))
        with _multiprocessing:
            process.start()
        assert process.pid is not None
        return _Forked(process, process.pid)


@dataclass(frozen=True)
class _Forked:
    process: BaseProcess
    pid: int

    def wait(self, seconds: float) -> int:
        ended = connection.wait([self.process.sentinel], seconds)
        with _multiprocessing:
            if not ended:
                self.process.kill()
            self.process.join()
            code = self.process.exitcode
            self.process.close()
        if not ended or code is None:
            raise TimeoutError(f"not ended within {seconds} s")
        return code


@dataclass(frozen=True)
class CommandStarter:
    """Starts ``reembed run CONFIG``, Beam and all; the configured cap approves its price."""

    config: Path

    def start(self, watch: Watch, said: Path, resumed: bool) -> Running:
        kept = {name: value for name, value in os.environ.items() if name not in _KEYS}
        path = _path(HERE / "hook", HERE.parent)
        with said.open("ab") as words:
            process = subprocess.Popen(
                [str(COMMAND), "run", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env={**kept, "PYTHONPATH": path, VARIABLE: watch.encode()},
                start_new_session=True,
            )
        return _Command(process, process.pid)


@dataclass(frozen=True)
class _Command:
    process: subprocess.Popen[bytes]
    pid: int

    def wait(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
            raise TimeoutError(f"not ended within {seconds} s") from None
