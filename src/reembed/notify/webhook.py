"""A webhook: one POST, with a bound on its whole time, that follows no redirect."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx

from reembed.errors import NotToldError
from reembed.notify.base import Message
from reembed.service.keys import is_loopback
from reembed.version import __version__

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
            NotToldError: everything else. A redirect is not followed: it would carry the news,
                and often a secret, to a host that nobody named.
        """
        try:
            status = asyncio.run(asyncio.wait_for(self._post(message.body), self._timeout))
        except TimeoutError as err:
            words = f"{self._host} did not answer within {self._timeout:g} s"
            raise NotToldError(words, transient=True) from err
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as err:
            # Not its own words: they may repeat the address.
            raise NotToldError(
                f"{self._host} cannot be reached ({type(err).__name__})", transient=True
            ) from None
        if 300 <= status < 400:
            raise NotToldError(
                f"{self._host} answers {status}, a redirect, which is not followed: give the "
                "final address",
                transient=False,
            )
        if not 200 <= status < 300:
            again = status >= 500 or status in _AGAIN_LATER
            raise NotToldError(f"{self._host} answers {status}", transient=again)

    async def _post(self, body: bytes) -> int:
        # As for the service: a proxy is nothing for this machine itself.
        trust = not is_loopback(self._url)
        async with (
            httpx.AsyncClient(trust_env=trust, follow_redirects=False, timeout=None) as client,
            client.stream("POST", self._url, content=body, headers=_HEADERS) as answer,
        ):
            return answer.status_code
