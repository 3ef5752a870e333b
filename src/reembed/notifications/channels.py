"""Channels to people: a webhook or a command, tried several times."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import tenacity

from reembed.config.notifications import NotifyConfig, is_http
from reembed.errors import NotificationError, UsageError
from reembed.providers.keys import KEY_VARIABLES, is_loopback
from reembed.version import __version__

logger = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Message:
    """Body that is sent, and beside it what a small script wants to know."""

    body: bytes
    event: str
    run: str


class Channel(Protocol):
    """Way to reach people: a webhook or a command."""

    @property
    def name(self) -> str:
        """Name in records: ``webhook`` or ``command``."""

    def send(self, message: Message) -> None:
        """Send once.

        Raises:
            NotificationError: it did not arrive for certain; it says whether a repeat may help.
        """


def send_patiently(
    channel: Channel,
    message: Message,
    attempts: int,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send, and again with growing waits where a repeat may help.

    Raises:
        NotificationError: the last one.
    """
    tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_repeat),
        wait=tenacity.wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        stop=tenacity.stop_after_attempt(attempts),
        sleep=sleep,
        before_sleep=_tell,
        reraise=True,
    )(channel.send, message)


def _may_repeat(error: BaseException) -> bool:
    return isinstance(error, NotificationError) and error.transient


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info("attempt %d to notify failed: %s", state.attempt_number, error)


_TAIL = 400


class Command:
    """Runs a program with its arguments; exit code 0 means that the notice arrived.

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
            NotificationError: it cannot be started, takes too long, or ends with another code.
        """
        # Files, not pipes: something that it leaves running may hold a pipe open for ever.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as stderr:
            given.write(message.body)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    self._words,
                    cwd=self._folder,
                    env=_environment(os.environ, message),
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as err:
                words = f"{self._words[0]} cannot be started ({err.strerror})"
                raise NotificationError(words, transient=False) from err
            code = self._wait(process)
            if code:
                stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _TAIL))
                tail = " ".join(stderr.read().decode(errors="replace").split())
                raise NotificationError(
                    f"{self._words[0]} ended with {code}: {tail}", transient=True
                )

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self._timeout)
        except subprocess.TimeoutExpired as err:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            words = f"{self._words[0]} took more than {self._timeout:g} s"
            raise NotificationError(words, transient=True) from err


def _environment(environ: Mapping[str, str], message: Message) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in KEY_VARIABLES}
    return {**kept, "REEMBED_EVENT": message.event, "REEMBED_RUN": message.run}


_HEADERS = {"content-type": "application/json", "user-agent": f"reembed/{__version__}"}
_AGAIN_LATER = frozenset({408, 425, 429})


class Webhook:
    """Posts to an address, of which only the host is ever shown.

    Args:
        url: where to; often a secret.
        timeout: seconds for the whole exchange, from the name's lookup to the answer's status.
    """

    name = "webhook"

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._host = urlsplit(url).hostname

    def send(self, message: Message) -> None:
        """Post once; any answer of 200 to 299 will do, its body is not read.

        Raises:
            NotificationError: everything else. A redirect is not followed: it would carry the
                notice, and often a secret, to a host that nobody named.
        """
        try:
            status = asyncio.run(asyncio.wait_for(self._post(message.body), self._timeout))
        except TimeoutError as err:
            words = f"{self._host} did not answer within {self._timeout:g} s"
            raise NotificationError(words, transient=True) from err
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as err:
            # Not its own words: they may repeat the address.
            raise NotificationError(
                f"{self._host} cannot be reached ({type(err).__name__})", transient=True
            ) from None
        if 300 <= status < 400:
            raise NotificationError(
                f"{self._host} answers {status}, a redirect, which is not followed: give the "
                "final address",
                transient=False,
            )
        if not 200 <= status < 300:
            again = status >= 500 or status in _AGAIN_LATER
            raise NotificationError(f"{self._host} answers {status}", transient=again)

    async def _post(self, body: bytes) -> int:
        # As for the service: a proxy is nothing for this machine itself.
        trust = not is_loopback(self._url)
        async with (
            httpx.AsyncClient(trust_env=trust, follow_redirects=False, timeout=None) as client,
            client.stream("POST", self._url, content=body, headers=_HEADERS) as answer,
        ):
            return answer.status_code


def open_channels(config: NotifyConfig, folder: str, environ: Mapping[str, str]) -> list[Channel]:
    """Open the webhook and the command, as far as there are any.

    Args:
        config: the section.
        folder: the configuration's, for a command.
        environ: the process's environment, for an address that is a secret.

    Raises:
        UsageError: the variable that should hold the address is not set, or holds none.
    """
    channels: list[Channel] = []
    if (url := webhook_of(config, environ)) is not None:
        channels.append(Webhook(url, config.timeout_seconds))
    if config.command:
        channels.append(Command(config.command, folder, config.timeout_seconds))
    return channels


def webhook_of(config: NotifyConfig, environ: Mapping[str, str]) -> str | None:
    """Find the address of the webhook; None where there is none.

    Raises:
        UsageError: as above.
    """
    if config.webhook_env is None:
        return config.webhook
    url = environ.get(config.webhook_env, "").strip()
    if not is_http(url):
        raise UsageError(
            f"notify.webhook_env: {config.webhook_env} is not set to an http(s) address in the "
            "environment of this process"
        )
    return url
