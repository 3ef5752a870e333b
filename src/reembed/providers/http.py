"""HTTP connections: pools, proxies, time limits, and proof that a request was not sent.

Plain urllib3 takes 17 microseconds of CPU for the 39 KB of a vector of 3,072 values where httpx
takes 44, and it says of each failure at which step it came.
"""

from __future__ import annotations

import os
import ssl
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError

from reembed.errors import UsageError
from reembed.version import __version__

# One read of a socket; what has arrived is passed on at once, so that a cut loses nothing of it.
_READ: Final = 1 << 17
# A body is written in such pieces: the time limit of a write is for each of them.
BODY_PIECE: Final = 1 << 16
_CONNECTIONS: Final = 16
_CONNECT_SECONDS: Final = 30.0
# What urllib3 raises, and what it lets through of the modules below it.
_FAULTS: Final = (HTTPError, HTTPException, OSError, ValueError)


class NotConnectedError(Exception):
    """Raised when no connection stood: nothing of the request was sent.

    No address, no route, a refusal, TLS not agreed, no tunnel through a proxy.
    """


class BrokenError(Exception):
    """Raised when a connection stood and failed: the request may have arrived.

    A reset, a timeout of a read or write, a connection that was closed early: all of them may
    come after the other side had the whole request.
    """


class _PlainConnection(HTTPConnection):
    patience = _CONNECT_SECONDS

    def connect(self) -> None:
        """Connect, and let nothing that fails here be taken for what fails later."""
        with _connecting():
            super().connect()
        # Until an answer is read urllib3 leaves the shorter limit of connecting in force.
        self.sock.settimeout(self.patience)


class _TlsConnection(HTTPSConnection):
    patience = _CONNECT_SECONDS

    def connect(self) -> None:
        """Connect, and let nothing that fails here be taken for what fails later."""
        with _connecting():
            super().connect()
        self.sock.settimeout(self.patience)


@contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except _FAULTS as err:
        raise NotConnectedError(_name(err)) from err


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except LocationValueError as err:
        raise NotConnectedError(_name(err)) from err
    except _FAULTS as err:
        raise BrokenError(_name(err)) from err


def _name(err: Exception) -> str:
    text = str(err)
    if isinstance(err, NewConnectionError):
        # It begins with the connection as Python shows objects.
        text = text.partition(": ")[2]
    return f"{type(err).__name__} {text}".strip()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Answer with its whole body, whatever its status."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes


class OpenResponse:
    """Answer whose body has not been read."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self.status, self.headers = response.status, response.headers

    def pieces(self, decode: bool = False) -> Iterator[bytes]:
        """Yield the body as it comes; with `decode`, without its content encoding.

        Raises:
            BrokenError: the connection failed, or the body is shorter than was announced.
        """
        try:
            while piece := self._response.read1(_READ, decode_content=decode):
                yield piece
        except _FAULTS as err:
            raise BrokenError(_name(err)) from err

    def close(self) -> None:
        """Let go of the connection; it is used again only if the body was read to its end."""
        self._response.close()


class HttpClient:
    """Pooled connections to any host; thread-safe, and each process connects for itself.

    Redirects are never followed, and nothing is sent a second time.

    Args:
        timeout: seconds for each connect, read and write; a connect gets 30 at most.
        by_proxy: whether the environment's proxies are used.
    """

    def __init__(self, timeout: float, by_proxy: bool) -> None:
        self._timeout, self._by_proxy = timeout, by_proxy
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._managers: dict[tuple[int, str, str], urllib3.PoolManager] = {}

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] = b"",
    ) -> OpenResponse:
        """Send a request over a pooled connection; the answer's body is still to be read.

        Raises:
            NotConnectedError: nothing was sent.
            BrokenError: something may have been sent.
        """
        return self._send(self.manager(url), method, url, headers, body)

    @contextmanager
    def open_alone(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] = b"",
    ) -> Iterator[OpenResponse]:
        """Send a request over a connection of its own, closed at the end; raises as `open`."""
        manager = self._make_manager(_scheme_of(url), self._proxy_of(url))
        try:
            yield self._send(manager, method, url, headers, body)
        finally:
            manager.clear()

    def close(self) -> None:
        """Close the pooled connections; a later call opens new ones."""
        with self._lock:
            managers, self._managers = self._managers, {}
        for (process, *_), manager in managers.items():
            if process == os.getpid():
                manager.clear()

    def manager(self, url: str) -> urllib3.PoolManager:
        """Find the pools of this process for a URL; they are made when first needed."""
        scheme, proxy = _scheme_of(url), self._proxy_of(url)
        # After a fork the parent's sockets must not be shared.
        use = os.getpid(), scheme, proxy
        with self._lock:
            known = self._managers.get(use)
        if known is None:
            made = self._make_manager(scheme, proxy)
            with self._lock:
                known = self._managers.setdefault(use, made)
        return known

    def _send(
        self,
        manager: urllib3.PoolManager,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes],
    ) -> OpenResponse:
        limit = self._timeout
        with _connected():
            response = manager.urlopen(
                method,
                url,
                body=_in_pieces(body) if isinstance(body, bytes) and body else body or None,
                headers={"user-agent": f"reembed/{__version__}", **headers},
                timeout=urllib3.Timeout(connect=min(limit, _CONNECT_SECONDS), read=limit),
                redirect=False,
                retries=False,
                preload_content=False,
            )
        return OpenResponse(response)

    def _make_manager(self, scheme: str, proxy: str) -> urllib3.PoolManager:
        # Reading the list of authorities takes 20 ms: nothing for a service on this machine.
        tls = self._tls_context() if "https" in (scheme, _scheme_of(proxy)) else None
        manager = (
            _proxy_manager(proxy, tls)
            if proxy
            else urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=tls)
        )
        manager.pool_classes_by_scheme = _pool_classes(self._timeout)
        return manager

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = tls_context(os.environ)
            return self._tls

    def _proxy_of(self, url: str) -> str:
        try:
            return proxy_of(url) if self._by_proxy else ""
        except ValueError as err:
            raise NotConnectedError(_name(err)) from err


def _scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()


def _in_pieces(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(body), BODY_PIECE):
        yield view[start : start + BODY_PIECE]


def _pool_classes(patience: float) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Kinds of pools whose connections wait so many seconds for each write."""
    kinds: dict[str, tuple[type, type]] = {
        "http": (urllib3.HTTPConnectionPool, _PlainConnection),
        "https": (urllib3.HTTPSConnectionPool, _TlsConnection),
    }
    return {
        scheme: type(
            pool.__name__,
            (pool,),
            {"ConnectionCls": type(kind.__name__, (kind,), {"patience": patience})},
        )
        for scheme, (pool, kind) in kinds.items()
    }


def _proxy_manager(proxy: str, tls: ssl.SSLContext | None) -> urllib3.ProxyManager:
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return urllib3.ProxyManager(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        maxsize=_CONNECTIONS,
        ssl_context=tls,
        proxy_ssl_context=tls,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=login if parts.username else None),
    )


def proxy_of(url: str) -> str:
    """Find the environment's proxy for a URL; empty for none, and for hosts in ``no_proxy``.

    Raises:
        UsageError: it is none that can be used.
    """
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    listed = [name.strip().lower() for name in proxies.get("no", "").split(",") if name.strip()]
    if not proxy or _is_direct(parts, listed):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = proxy.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        # The address may hold a password: not shown.
        raise UsageError(
            f"the environment names a proxy of kind {scheme}:// for {parts.scheme}://; give one of "
            "http:// or https://, or name the host in NO_PROXY"
        )
    return proxy


def _is_direct(url: SplitResult, listed: list[str]) -> bool:
    """Look a host up in ``no_proxy``: ``*``, a host, its parent domain, or host and port."""
    host, port = url.hostname or "", url.port
    for entry in listed:
        name = (entry.partition("://")[2] or entry).strip("[]").lstrip(".")
        if name in ("*", host, f"{host}:{port}") or (name and host.endswith(f".{name}")):
            return True
    return False


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Make the check of servers: by certifi's list, or by what SSL_CERT_FILE or _DIR name."""
    if environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=environ["SSL_CERT_FILE"])
    if environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=environ["SSL_CERT_DIR"])
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
