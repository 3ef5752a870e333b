"""Shell scripts that call `reembed`, with the command run in the test's own process.

A real command takes seconds to start, and these scripts call it often. What stands in for it on
the PATH hands its words, folder and environment over a socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.harness import Done, invoke

_STAND_IN = """#!{python} -SE
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
said = {{"words": sys.argv[1:], "folder": os.getcwd(), "env": dict(os.environ)}}
line.sendall(json.dumps(said).encode() + b"\\n")
done = json.loads(line.makefile().read())
sys.stdout.write(done["out"])
sys.stderr.write(done["err"])
sys.exit(done["code"])
"""
# What the stand-in's environment changes in this process, while a command runs.
_PASSED = ("REEMBED_LOG_FORMAT",)


@dataclass(frozen=True)
class Shell:
    """Runs scripts whose `reembed` is this process's; `bin` takes other stand-ins."""

    bin: Path
    server: socket.socket

    def add(self, name: str, script: str) -> None:
        """Put a program on the PATH of the scripts."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> Done:
        """Run a program, such as a shell with a script, to its end."""
        path = {"PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin"}
        with (folder / ".out").open("w+") as out, (folder / ".err").open("w+") as err:
            process = subprocess.Popen(
                list(words), cwd=folder, env={**env, **path}, stdout=out, stderr=err
            )
            while process.poll() is None:
                with contextlib.suppress(TimeoutError):
                    self._serve(self.server.accept()[0])
            out.seek(0)
            err.seek(0)
            return Done(process.returncode, out.read(), err.read())

    def _serve(self, line: socket.socket) -> None:
        with line:
            said = json.loads(line.makefile().readline())
            with _like(said["folder"], said["env"]):
                done = invoke(*said["words"])
            line.sendall(json.dumps(vars(done)).encode())


@contextlib.contextmanager
def _like(folder: str, env: Mapping[str, str]) -> Iterator[None]:
    before, here = {name: os.environ.get(name) for name in _PASSED}, os.getcwd()
    os.chdir(folder)
    _set({name: env.get(name) for name in _PASSED})
    try:
        yield
    finally:
        os.chdir(here)
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def open_shell(folder: Path) -> Iterator[Shell]:
    """A shell whose programs lie in a new folder there."""
    folder.mkdir()
    address = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(0.02)
        path = folder / "reembed"
        path.write_text(_STAND_IN.format(python=sys.executable, address=address))
        path.chmod(0o755)
        yield Shell(folder, server)
