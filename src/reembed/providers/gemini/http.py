"""Exchanges with the service: the key, redirects, time limits, errors translated."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from reembed.errors import (
    AccessDeniedError,
    NameTakenError,
    QuotaError,
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
    TransientError,
    UnknownOutcomeError,
)
from reembed.providers.gemini.operations import one_line, parse_json
from reembed.providers.gemini.retries import retry_after
from reembed.providers.http import (
    BODY_PIECE,
    BrokenError,
    HttpClient,
    HttpResponse,
    NotConnectedError,
    OpenResponse,
)
from reembed.providers.keys import Secret, is_loopback

_ANSWER_PATIENCE = 5.0
_MAX_ANSWER = 512 << 20
_MAX_HOPS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Users report 403 "You do not have permission to access the File … or it may not exist" for a
# file that expired or was deleted: no fault of the key.
_GONE_FILE = re.compile(r"\bfile\b.*\bmay not exist\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of the service and time limit; `base_url` has no slash at its end."""

    base_url: str
    api_version: str
    timeout: float

    def url(self, path: str) -> str:
        """Make the address of a resource under the API version."""
        return f"{self.base_url}/{self.api_version}/{path}"


@dataclass(frozen=True, slots=True)
class Call:
    """Request to the service; `what` names it in messages, `keyed` adds the API key."""

    what: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keyed: bool = True


class GeminiHttp:
    """HTTP to one endpoint of the service; thread-safe, and each process connects for itself.

    Args:
        endpoint: where to.
        secret: the API key.
        clock: seconds that only grow, for the time limits.
    """

    def __init__(
        self, endpoint: Endpoint, secret: Secret, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.endpoint, self.secret = endpoint, secret
        self._clock = clock
        self.client = self._new_client()

    def _new_client(self) -> HttpClient:
        # A proxy of the environment cannot reach this machine's own ports.
        by_proxy = not is_loopback(self.endpoint.base_url)
        return HttpClient(self.endpoint.timeout, by_proxy)

    def __getstate__(self) -> tuple[Endpoint, Secret, Callable[[], float]]:
        return self.endpoint, self.secret, self._clock

    def __setstate__(self, state: tuple[Endpoint, Secret, Callable[[], float]]) -> None:
        self.endpoint, self.secret, self._clock = state
        self.client = self._new_client()

    def __repr__(self) -> str:
        return f"GeminiHttp({self.endpoint.base_url!r}, {self.secret!r})"

    def close(self) -> None:
        """Close the pooled connections; a later call opens new ones."""
        self.client.close()

    def read(self, call: Call) -> dict[str, Any]:
        """Send a call that is free to repeat and decode its JSON object (once, no retry here).

        Raises:
            ServiceError: in its kinds; a cut connection is a `TransientError`.
        """
        answer = self.exchange(call)
        if answer.status >= 300:
            raise self.refusal(call, answer)
        return parse_json(answer.body, call.what) if answer.body.strip() else {}

    def exchange(self, call: Call, redirects: bool = True) -> HttpResponse:
        """Send a call over pooled connections; any status comes back as it is.

        Args:
            call: the call.
            redirects: whether a GET follows them, to hosts that may be trusted.

        Raises:
            TransientError: no whole answer came.
        """
        try:
            with contextlib.closing(self._open(call, redirects)) as response:
                return self._whole(call, response)
        except (NotConnectedError, BrokenError) as err:
            raise self._broken(call, err) from err

    def exchange_once(self, call: Call) -> HttpResponse:
        """Send a call that must never be sent twice, over a connection of its own.

        A pooled connection may have been closed by the other side a moment ago, and its reset
        would prove nothing. The body is written within the time limit or not at all to its end,
        so that a slow create cannot arrive long after its claim was taken over.

        Raises:
            TransientError: nothing was sent.
            UnknownOutcomeError: something was sent, and no whole answer came.
        """
        pieces = self._pieces(call.body, self._clock() + self.endpoint.timeout)
        headers = self._headers(call, call.url)
        try:
            with self.client.open_alone(call.method, call.url, headers, pieces) as response:
                return self._whole(call, response)
        except NotConnectedError as err:
            raise TransientError(f"{call.what}: nothing was sent: {self._why(err)}") from err
        except (BrokenError, _TooLateError) as err:
            raise UnknownOutcomeError(
                f"{call.what}: no answer, so it may or may not have happened: {self._why(err)}"
            ) from err
        except TransientError as err:
            # An answer that is too slow or too large is still the answer to something sent.
            raise UnknownOutcomeError(err.message) from err

    @contextlib.contextmanager
    def stream(self, call: Call) -> Iterator[OpenResponse]:
        """Open a call without a body, yield the reply before its body was read; any status.

        Raises:
            TransientError: the connection failed, also while the caller reads the body.
        """
        try:
            with contextlib.closing(self._open(call, True)) as response:
                yield response
        except (NotConnectedError, BrokenError) as err:
            raise self._broken(call, err) from err

    def refusal(self, call: Call, answer: HttpResponse) -> ServiceError:
        """Translate a status of 300 or more of a call that is free to repeat."""
        error = _Refusal.of(answer)
        message = self.secret.scrub(f"{call.what}: HTTP {answer.status}{error.text}")
        return error.kind(answer.status)(
            message, answer.status, retry_after(answer.headers, error.details)
        )

    def _broken(self, call: Call, err: Exception) -> TransientError:
        """Translate a failed connection of a call that is free to repeat."""
        return TransientError(f"{call.what}: connection failed: {self._why(err)}")

    def _open(self, call: Call, redirects: bool) -> OpenResponse:
        url = call.url
        for _ in range(_MAX_HOPS):
            headers = self._headers(call, url)
            response = self.client.open(call.method, url, headers, call.body)
            if not redirects or call.method != "GET" or response.status not in _REDIRECTS:
                return response
            location = response.headers.get("location", "")
            response.close()
            url = trusted_url(urljoin(url, location), self.endpoint.base_url)
        last = self.secret.scrub(one_line(url))
        raise RefusedError(f"{call.what}: redirected too often, last to {last}")

    def _headers(self, call: Call, url: str) -> dict[str, str]:
        headers = {"accept-encoding": "gzip", **call.headers}
        if call.method != "GET":
            headers["content-length"] = str(len(call.body))
        # The key goes to the service alone: a redirect may lead to another host.
        if call.keyed and _origin(url) == _origin(self.endpoint.base_url):
            headers["x-goog-api-key"] = self.secret.reveal()
        return headers

    def _whole(self, call: Call, response: OpenResponse) -> HttpResponse:
        answer_by = self._clock() + _ANSWER_PATIENCE * self.endpoint.timeout
        parts: list[bytes] = []
        size = 0
        for part in response.pieces(decode=True):
            size += len(part)
            parts.append(part)
            if size > _MAX_ANSWER or self._clock() > answer_by:
                raise TransientError(
                    f"{call.what}: gave up on an answer after {size} bytes: it is above "
                    f"{_MAX_ANSWER} bytes or trickles"
                )
        # Here, once, for all that is made of it: messages, job records, lines of a result.
        body = self.secret.scrub_bytes(b"".join(parts))
        return HttpResponse(response.status, response.headers, body)

    def _pieces(self, body: bytes, send_by: float) -> Iterator[bytes]:
        for start in range(0, len(body), BODY_PIECE):
            if self._clock() > send_by:
                raise _TooLateError(f"only {start} of {len(body)} bytes were sent in time")
            yield body[start : start + BODY_PIECE]

    def _why(self, err: Exception) -> str:
        return self.secret.scrub(one_line(str(err)))


class _TooLateError(Exception):
    """Raised when the time limit ends before the whole body is written."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Error body ``{"error": {code, message, status, details}}``, as far as it is one."""

    status_word: str
    message: str
    details: object

    @classmethod
    def of(cls, answer: HttpResponse) -> _Refusal:
        try:
            error = parse_json(answer.body, "").get("error")
        except ServiceError:
            error = None
        if not isinstance(error, dict):
            return cls("", one_line(answer.body), None)
        message, word = error.get("message"), error.get("status")
        return cls(
            one_line(word, 40) if isinstance(word, str) else "",
            one_line(message) if isinstance(message, str) else "",
            error.get("details"),
        )

    @property
    def text(self) -> str:
        return (f" {self.status_word}" if self.status_word else "") + (
            f": {self.message}" if self.message else ""
        )

    def kind(self, status: int) -> type[ServiceError]:
        if status in (401, 403):
            return RemoteNotFoundError if _GONE_FILE.search(self.message) else AccessDeniedError
        if status == 400 and self._names("API_KEY_INVALID"):
            return AccessDeniedError
        if status == 409 and self.status_word in ("", "ALREADY_EXISTS"):
            return NameTakenError
        if status in (408, 409, 425, 499) or status >= 500:
            return TransientError
        return {404: RemoteNotFoundError, 410: RemoteNotFoundError, 429: QuotaError}.get(
            status, RefusedError
        )

    def _names(self, reason: str) -> bool:
        details = self.details if isinstance(self.details, list) else []
        return any(isinstance(d, dict) and d.get("reason") == reason for d in details)


def trusted_url(url: str, base_url: str) -> str:
    """Return an address that the service named, if bytes may go there.

    Allowed are the service's own host on any port, and googleapis.com over https.

    Raises:
        RefusedError: it leads to another host, drops https, or carries a user.
    """
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as err:
        raise RefusedError(f"the service named an address that is none: {one_line(url)}") from err
    own = _same_host(host, base.hostname or "")
    encrypted = parts.scheme == "https" or (
        parts.scheme == "http" and base.scheme == "http" and own
    )
    if encrypted and not parts.username and (own or host.endswith(".googleapis.com")):
        return url
    raise RefusedError(
        f"the service named an address on {one_line(host) or 'no host'}, which is neither "
        f"{base.hostname} nor googleapis.com over https: nothing was sent there"
    )


def _same_host(one: str, other: str) -> bool:
    loopback = is_loopback(f"//{_bracketed(one)}") and is_loopback(f"//{_bracketed(other)}")
    return one == other or loopback


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port
