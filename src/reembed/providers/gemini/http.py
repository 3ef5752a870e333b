"""One HTTP exchange with the service: connections, time limits, redirects, errors translated.

httpx's own take four times as long to receive a plain answer, and 1.4 times as long over TLS: 25
and 6, 40 and 29 microseconds of CPU for the 39 KB of a vector of 3,072 values. What is sent, and
how an answer is read, stays httpx's, its errors included.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import urllib3

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
from reembed.providers.keys import Secret, is_loopback
from reembed.version import __version__

# One read of a socket; what has arrived is passed on at once, so that a cut loses nothing of it.
_READ = 1 << 17
_CONNECTIONS = 16


def goes_by_proxy() -> bool:
    """Whether the environment names a proxy, which is httpx's to heed."""
    return not urllib.request.getproxies().keys().isdisjoint(("http", "https", "all"))


class BulkTransport(httpx.BaseTransport):
    """Sends requests without a body over connections of its own; thread-safe.

    Args:
        tls: what servers are checked with.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=tls)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its answer's body is read as it is asked for."""
        patience = request.extensions["timeout"]
        with _as_httpx(request):
            answer = self._pool.urlopen(
                request.method,
                str(request.url),
                headers=dict(request.headers),
                timeout=urllib3.Timeout(connect=patience["connect"], read=patience["read"]),
                redirect=False,
                retries=False,
                preload_content=False,
            )
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        return httpx.Response(answer.status, headers=headers, stream=_Body(request, answer))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


class _Body(httpx.SyncByteStream):
    def __init__(self, request: httpx.Request, answer: urllib3.BaseHTTPResponse) -> None:
        self._request, self._answer = request, answer

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            while piece := self._answer.read1(_READ, decode_content=False):
                yield piece

    def close(self) -> None:
        # A connection whose answer was read to its end went back to the pool by itself.
        self._answer.close()


@contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """Raise httpx's errors in place of urllib3's.

    Raises:
        httpx.TransportError: in its kinds.
    """
    try:
        yield
    except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.SSLError) as err:
        raise httpx.ConnectError(str(err), request=request) from err
    # After the former, which is one of its kinds.
    except urllib3.exceptions.ConnectTimeoutError as err:
        raise httpx.ConnectTimeout(str(err), request=request) from err
    except urllib3.exceptions.ReadTimeoutError as err:
        raise httpx.ReadTimeout(str(err), request=request) from err
    except urllib3.exceptions.ProtocolError as err:
        raise httpx.RemoteProtocolError(str(err), request=request) from err
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as err:
        raise httpx.NetworkError(f"{type(err).__name__} {err}", request=request) from err


_BODY_PIECE = 1 << 16
_CONNECT_SECONDS = 30.0
_ANSWER_PATIENCE = 5.0
_MAX_ANSWER = 512 << 20
_MAX_HOPS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Users report 403 "You do not have permission to access the File … or it may not exist" for a
# file that expired or was deleted: no fault of the key.
_GONE_FILE = re.compile(r"\bfile\b.*\bmay not exist\b", re.IGNORECASE)

# Raised before the first byte of the request is written, when the connection is made for it:
# no name, no route, refused, TLS not agreed, no tunnel through a proxy. Everything else (a reset,
# a read or write timeout, a connection closed early) may come after the service got all of it.
PROVES_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service is and how long to wait; `base_url` has no slash at its end."""

    base_url: str
    api_version: str
    timeout: float

    def url(self, path: str) -> str:
        """The address of a resource under the API version."""
        return f"{self.base_url}/{self.api_version}/{path}"


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `what` names it in messages; `keyed` adds the API key."""

    what: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keyed: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply with its whole body, whatever its status."""

    status: int
    headers: httpx.Headers
    body: bytes


class Wire:
    """Sends calls to one endpoint; thread-safe, and each process connects for itself.

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
        self._start_empty()

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[int, bool], httpx.Client] = {}
        self._tls: ssl.SSLContext | None = None

    def __getstate__(self) -> tuple[Endpoint, Secret, Callable[[], float]]:
        return self.endpoint, self.secret, self._clock

    def __setstate__(self, state: tuple[Endpoint, Secret, Callable[[], float]]) -> None:
        self.endpoint, self.secret, self._clock = state
        self._start_empty()

    def __repr__(self) -> str:
        return f"Wire({self.endpoint.base_url!r}, {self.secret!r})"

    def close(self) -> None:
        """Close the pooled connections; a later call opens new ones."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for (process, _), client in pools.items():
            if process == os.getpid():
                client.close()

    def read(self, call: Call) -> dict[str, Any]:
        """Send a call that is free to repeat and decode its JSON object (once, no retry here).

        Raises:
            ServiceError: in its kinds; a cut connection is a `TransientError`.
        """
        answer = self.exchange(call)
        if answer.status >= 300:
            raise self.refusal(call, answer)
        return parse_json(answer.body, call.what) if answer.body.strip() else {}

    def exchange(self, call: Call) -> Answer:
        """Send a call over pooled connections; any status comes back as it is.

        Raises:
            TransientError: no whole answer came.
        """
        try:
            return self._whole(self.client(), call, None)
        except (httpx.HTTPError, httpx.StreamError) as err:
            raise self.broken(call, err) from err

    def exchange_once(self, call: Call) -> Answer:
        """Send a call that must never be sent twice, over a connection of its own.

        A pooled connection may have been closed by the other side a moment ago, and its reset
        would prove nothing. The body is written within the time limit or not at all to its end,
        so that a slow create cannot arrive long after its claim was taken over.

        Raises:
            TransientError: nothing was sent.
            UnknownOutcomeError: something was sent, and no whole answer came.
        """
        deadline = self._clock() + self.endpoint.timeout
        try:
            with self.new_client() as client:
                return self._whole(client, call, deadline)
        except PROVES_UNSENT as err:
            raise TransientError(f"{call.what}: nothing was sent: {self._why(err)}") from err
        except (httpx.HTTPError, httpx.StreamError, _TooLateError) as err:
            raise UnknownOutcomeError(
                f"{call.what}: no answer, so it may or may not have happened: {self._why(err)}"
            ) from err
        except TransientError as err:
            # An answer that is too slow or too large is still the answer to something sent.
            raise UnknownOutcomeError(err.message) from err

    @contextlib.contextmanager
    def stream(self, call: Call) -> Iterator[httpx.Response]:
        """Open a call without a body, yield the reply before its body was read; any status.

        Raises:
            TransientError: the connection failed, also while the caller reads the body.
        """
        try:
            response = self._open(self.client(bulk=True), call, None)
            try:
                yield response
            finally:
                response.close()
        except (httpx.HTTPError, httpx.StreamError) as err:
            raise self.broken(call, err) from err

    def broken(self, call: Call, err: Exception) -> TransientError:
        """Translate a failed connection of a call that is free to repeat."""
        return TransientError(f"{call.what}: connection failed: {self._why(err)}")

    def refusal(self, call: Call, answer: Answer) -> ServiceError:
        """Translate a status of 300 or more of a call that is free to repeat."""
        error = _Refusal.of(answer)
        message = self.secret.scrub(f"{call.what}: HTTP {answer.status}{error.text}")
        return error.kind(answer.status)(
            message, answer.status, retry_after(answer.headers, error.details)
        )

    def client(self, bulk: bool = False) -> httpx.Client:
        """The pooled client of this process, made when first needed; `bulk`: for large answers."""
        # After a fork the parent's sockets must not be shared.
        use = os.getpid(), bulk
        with self._lock:
            if use not in self._pools:
                self._pools[use] = self._make_client(bulk)
            return self._pools[use]

    def new_client(self) -> httpx.Client:
        """A client without connections yet, that keeps none for later."""
        with self._lock:
            return self._make_client()

    def _make_client(self, bulk: bool = False) -> httpx.Client:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        seconds = self.endpoint.timeout
        # A proxy of the environment cannot reach this machine's own ports.
        trust_env = not is_loopback(self.endpoint.base_url)
        direct = bulk and not (trust_env and goes_by_proxy())
        return httpx.Client(
            verify=self._tls,
            timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            follow_redirects=False,
            trust_env=trust_env,
            transport=BulkTransport(self._tls) if direct else None,
            headers={"user-agent": f"reembed/{__version__}"},
        )

    def _whole(self, client: httpx.Client, call: Call, send_by: float | None) -> Answer:
        response = self._open(client, call, send_by)
        answer_by = self._clock() + _ANSWER_PATIENCE * self.endpoint.timeout
        parts: list[bytes] = []
        size = 0
        try:
            for part in response.iter_bytes():
                size += len(part)
                parts.append(part)
                if size > _MAX_ANSWER or self._clock() > answer_by:
                    raise TransientError(
                        f"{call.what}: gave up on an answer after {size} bytes: it is above "
                        f"{_MAX_ANSWER} bytes or trickles"
                    )
        finally:
            response.close()
        # Here, once, for all that is made of it: messages, job records, lines of a result.
        body = self.secret.scrub_bytes(b"".join(parts))
        return Answer(response.status_code, response.headers, body)

    def _open(self, client: httpx.Client, call: Call, send_by: float | None) -> httpx.Response:
        url = call.url
        for _ in range(_MAX_HOPS):
            response = client.send(self._request(client, call, url, send_by), stream=True)
            if call.method != "GET" or response.status_code not in _REDIRECTS:
                return response
            location = response.headers.get("location", "")
            response.close()
            url = trusted_url(urljoin(url, location), self.endpoint.base_url)
        last = self.secret.scrub(one_line(url))
        raise RefusedError(f"{call.what}: redirected too often, last to {last}")

    def _request(
        self, client: httpx.Client, call: Call, url: str, send_by: float | None
    ) -> httpx.Request:
        headers = dict(call.headers)
        if call.method != "GET":
            headers["content-length"] = str(len(call.body))
        if call.keyed and _origin(url) == _origin(self.endpoint.base_url):
            headers["x-goog-api-key"] = self.secret.reveal()
        content: bytes | Iterator[bytes] | None = call.body or None
        if call.body and send_by is not None:
            content = self._pieces(call.body, send_by)
        return client.build_request(call.method, url, headers=headers, content=content)

    def _pieces(self, body: bytes, send_by: float) -> Iterator[bytes]:
        view = memoryview(body)
        for start in range(0, len(body), _BODY_PIECE):
            if self._clock() > send_by:
                raise _TooLateError(f"only {start} of {len(body)} bytes were sent in time")
            yield bytes(view[start : start + _BODY_PIECE])

    def _why(self, err: Exception) -> str:
        return self.secret.scrub(one_line(f"{type(err).__name__} {err}".strip()))


class _TooLateError(Exception):
    """The time limit ended before the whole body was written."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error body ``{"error": {code, message, status, details}}``, as far as it is one."""

    status_word: str
    message: str
    details: object

    @classmethod
    def of(cls, answer: Answer) -> _Refusal:
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
