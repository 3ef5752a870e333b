"""Stand-in servers that scripts of the project start: their variables read, their end seen to."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.scripts import SCRIPTS
from support.waiting import DEADLINE, wait_until


@dataclass(frozen=True)
class Script:
    """A script that starts a server and prints two ``export NAME=value`` lines.

    `is_missing` tells from its exit code and words that the server is not installed here;
    `asked` is a path of the server that answers once it is ready.
    """

    name: str
    what: str
    variable: str
    asked: str
    is_missing: Callable[[int, str], bool]


@contextmanager
def started(
    script: Script, log: Path, *options: str, **environment: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Run a server until the block ends; gives its address and its variables, which are set.

    Skips the test when the server is not installed; any other failure to start is an error.
    """
    command = [sys.executable, str(SCRIPTS / script.name), *options]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | environment
        )
    try:
        variables = _variables(script, process, log)
        url = variables[script.variable]
        _wait_until_ready(script, url, process, log)
        with environment_set(variables):
            yield url, variables
    finally:
        _end(process)


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


def _variables(script: Script, process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    if not all(lines):
        code, reason = process.wait(timeout=DEADLINE), log.read_text().strip()
        if script.is_missing(code, reason):
            pytest.skip(reason)
        raise RuntimeError(f"the {script.what} server did not start: {reason}")
    pairs = [shlex.split(line)[1].split("=", 1) for line in lines]
    return {name: value for name, value in pairs}


def _wait_until_ready(script: Script, url: str, process: subprocess.Popen[str], log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"{script.what} has ended: {log.read_text()[-500:]}"
        try:
            with urllib.request.urlopen(f"{url}{script.asked}", timeout=10) as answer:
                answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    wait_until(answers, lambda: f"the {script.what} server answers: {log.read_text()[-500:]}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)
    assert process.stdout is not None
    process.stdout.close()
