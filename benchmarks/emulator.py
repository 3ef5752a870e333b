"""The emulator in a process of its own, with jobs that end after a tenth of a second."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SERVE = """
import json
import sys
from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
quick = dict(pending_seconds=0.05, running_seconds=0.05, concurrent_jobs=1000)
given = json.loads(sys.argv[1])
with EmulatorServer(EmulatorSettings(port=0, fast_vectors=True, **quick, **given)) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def emulator(**settings: int) -> Iterator[str]:
    """Run the fast emulator; gives its address.

    Args:
        settings: of `EmulatorSettings`, more than those of every benchmark.
    """
    command = [sys.executable, "-c", _SERVE, json.dumps(settings)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(timeout=60)
