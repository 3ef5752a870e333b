"""Engines that scripts/engines has installed, for tests; those that need one that is not skip."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.waiting import wait_until

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "engines"
WORKER = Path(sys.executable).with_name("reembed-worker")
PROCESSES = (
    "--environment_type=PROCESS",
    f'--environment_config={{"command":"{WORKER}"}}',
)
_MISSING = 3
# Short-lived: what a JVM does to be quick later costs more than it brings.
_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


def engine(part: str) -> dict[str, str]:
    """The variables of an installed engine; skips the test where there is none, with the reason.

    Waits for an installation that is under way.
    """
    command = [sys.executable, str(SCRIPT), "--no-install", "--only", part]
    found = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if found.returncode == _MISSING:
        pytest.skip(found.stderr.strip())
    assert found.returncode == 0, found.stderr
    pairs = [shlex.split(line)[1].split("=", 1) for line in found.stdout.splitlines()]
    return {name: value for name, value in pairs}


@contextmanager
def flink_job_server(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Serve Flink's jobs until the block ends: its address and its process.

    It is set up to begin a job anew whose worker died.
    """
    made = engine("flink")
    port = _free_port()
    command = ["java", *_JVM, "-jar", made["FLINK_JAR"], "--flink-master=[local]"]
    command += [f"--job-port={port}", "--artifact-port=0", "--expansion-port=0"]
    command += [f"--flink-conf-dir={made['FLINK_CONF']}", f"--artifacts-dir={folder / 'staged'}"]
    log = folder / "flink.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
    try:
        _wait_for(port, process, log)
        yield f"localhost:{port}", process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def workers_below(ancestor: int) -> list[int]:
    """The worker processes that an engine has started, by their ids."""
    shown = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in shown.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in rows}
    found = [int(pid) for pid, _, *rest in rows if rest and f"{WORKER} --id" in rest[0]]
    return [pid for pid in found if ancestor in _above(pid, parents)]


def _above(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid := parents.get(pid, 0):
        yield pid


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def is_listening() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_listening, lambda: f"the job server starts: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
