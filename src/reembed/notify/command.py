"""A command of the user's: run without a shell, the body on its standard input."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from reembed.errors import NotToldError
from reembed.notify.base import Message
from reembed.service.keys import KEY_VARIABLES

_TAIL = 400


class Command:
    """Runs a program with its arguments; exit code 0 says that somebody was told.

    It has this process's environment without the API key, and beside it ``REEMBED_EVENT`` and
    ``REEMBED_RUN``.

    Args:
        words: the program and its arguments.
        folder: where it runs, and where a relative program is looked for.
        timeout: seconds after which it is ended, with all that it started in its process group.
    """

    name = "command"

    def __init__(self, words: Sequence[str], folder: str, timeout: float) -> None:
        self._words, self._folder, self._timeout = list(words), folder, timeout

    def send(self, message: Message) -> None:
        """Run once.

        Raises:
            NotToldError: it cannot be started, takes too long, or ends with another code.
        """
        # Files, not pipes: something that it leaves running may hold a pipe open for ever.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(message.body)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    self._words,
                    cwd=self._folder,
                    env=_environment(os.environ, message),
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as err:
                words = f"{self._words[0]} cannot be started ({err.strerror})"
                raise NotToldError(words, transient=False) from err
            code = self._wait(process)
            if code:
                said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL))
                tail = " ".join(said.read().decode(errors="replace").split())
                raise NotToldError(f"{self._words[0]} ended with {code}: {tail}", transient=True)

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self._timeout)
        except subprocess.TimeoutExpired as err:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            words = f"{self._words[0]} took more than {self._timeout:g} s"
            raise NotToldError(words, transient=True) from err


def _environment(environ: Mapping[str, str], message: Message) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in KEY_VARIABLES}
    return {**kept, "REEMBED_EVENT": message.event, "REEMBED_RUN": message.run}
