"""Read public web pages by https alone, and never an address of an internal network."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, urljoin, urlsplit

from reembed.errors import ObjectNotFoundError, RejectError, StorageError
from reembed.version import __version__

# Answers to virtual machines of one vendor with their settings, though its number is a public one.
_METADATA = frozenset({"168.63.129.16"})
# Addresses of IPv6 that carry one of IPv4, which a gateway would follow.
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32", "64:ff9b::/32")))


def is_public(address: str) -> bool:
    """Whether an address belongs to the open network.

    Loopback, private, link-local (with the metadata services), shared, multicast, reserved and
    unspecified addresses do not, nor what carries or maps one of them.

    Args:
        address: an address of IPv4 or IPv6 as text, perhaps with a zone.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.scope_id is not None or any(found in net for net in _CARRIERS):
            return False
    refused = found.is_multicast or found.is_reserved or str(found) in _METADATA
    return found.is_global and not refused


def addresses_of(host: str, port: int) -> list[str]:
    """Every address that a host's name stands for now, in the system's order.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_REDIRECTS: Final = 5
_BLOCK: Final = 1 << 16
_HEADERS: Final = {
    "User-Agent": f"reembed/{__version__}",
    "Accept": "*/*",
    # What unpacks to more than it weighs is not asked for.
    "Accept-Encoding": "identity",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class HttpsRules:
    """What may be read from the web.

    `max_bytes` is of one page; `timeout` of a connect or a read and `deadline` of a whole page
    are in seconds; `pauses` are the seconds before each further try. `allowed` judges an
    address, `resolve` gives those of a host; `ca_file` replaces the system's certificates.
    """

    max_bytes: int
    timeout: float = 30.0
    deadline: float = 300.0
    pauses: tuple[float, ...] = (1.0, 4.0)
    allowed: Callable[[str], bool] = is_public
    resolve: Callable[[str, int], list[str]] = addresses_of
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The address of a page: what to connect to, and what to ask for there."""

    host: str
    port: int
    target: str


class _PassingError(StorageError):
    """The same request may work later."""


def split_https(url: str) -> Page:
    """Take a page's address apart.

    Raises:
        RejectError: ``unsupported_uri`` for another scheme, ``bad_uri`` for what is no address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        named = host.encode("idna").decode() if host and not host.isascii() else host
    except (ValueError, UnicodeError) as err:
        raise RejectError("bad_uri", f"{url[:200]!r} is no address of a page ({err})") from err
    if parts.scheme != "https":
        raise RejectError("unsupported_uri", f"{url[:200]!r}: only https:// pages are read")
    if not named or port == 0 or " " in parts.netloc or not url.isprintable():
        raise RejectError("bad_uri", f"{url[:200]!r} is no address of a page")
    if "@" in parts.netloc:
        # The address is written into rows: it must not carry a password.
        raise RejectError("bad_uri", "the address of a page holds a user's name; leave it out")
    target = quote(parts.path or "/", safe="/%:=&?~+!$,;'@()*[]")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:=&?~+!$,;'@()*[]")
    return Page(named, port or 443, target)


def fetch(url: str, rules: HttpsRules) -> BinaryIO:
    """Read a page into a temporary file, which is closed by who asked.

    Every address that its host stands for must be allowed, and one of these very addresses is
    connected to, so that a name which answers otherwise the next time gains nothing. Redirects
    are judged anew, each. No proxy is used.

    Raises:
        ObjectNotFoundError: the page is not there.
        StorageError: it cannot be read.
        RejectError: ``uri_not_allowed``, ``too_large``, or the codes of `split_https`.
    """
    for pause in (*rules.pauses, None):
        try:
            return _follow(url, rules)
        except _PassingError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _follow(url: str, rules: HttpsRules) -> BinaryIO:
    at = url
    for _ in range(_MOST_REDIRECTS + 1):
        found = _ask(at, rules)
        if not isinstance(found, str):
            return found
        at = urljoin(at, found)
    raise StorageError(f"{url}: more than {_MOST_REDIRECTS} redirects; give the last address")


def _ask(url: str, rules: HttpsRules) -> str | BinaryIO:
    """One request: the page, or where it redirects to."""
    page = split_https(url)
    connection = _Connection(page, rules)
    try:
        with connection.limited():
            connection.request("GET", page.target, headers=_HEADERS)
            response = connection.getresponse()
            location = response.getheader("Location")
            if response.status in _REDIRECTS and location:
                return location
            _check_answer(url, response, rules)
            return _body(url, response, rules)
    except (OSError, http.client.HTTPException) as err:
        late = f" within {rules.deadline:g} s" if connection.late else ""
        said = f"{url}: cannot be read{late} ({type(err).__name__}: {err})"
        # A certificate that does not fit will not fit in four seconds either.
        passes = not connection.late and not isinstance(err, ssl.SSLCertVerificationError)
        raise (_PassingError if passes else StorageError)(said) from err
    finally:
        connection.close()


def _check_answer(url: str, response: http.client.HTTPResponse, rules: HttpsRules) -> None:
    status = response.status
    if status in (404, 410):
        raise ObjectNotFoundError(f"{url}: the server says {status}")
    if status != 200:
        error = _PassingError if status in _PASSING else StorageError
        raise error(f"{url}: the server says {status} {response.reason[:80]}")
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise StorageError(f"{url}: the server packs the page ({encoding[:40]}) unasked")
    if response.length is not None and response.length > rules.max_bytes:
        raise _too_large(url, rules)


def _body(url: str, response: http.client.HTTPResponse, rules: HttpsRules) -> BinaryIO:
    out = tempfile.TemporaryFile()  # noqa: SIM115 - handed over
    try:
        size = 0
        # One receive at a time: a server that drips must not hold a read for its whole block.
        while block := response.read1(_BLOCK):
            size += out.write(block)
            if size > rules.max_bytes:
                raise _too_large(url, rules)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return cast(BinaryIO, out)


def _too_large(url: str, rules: HttpsRules) -> RejectError:
    return RejectError(
        "too_large",
        f"{url} has more than {rules.max_bytes:,} bytes; raise source.max_https_mb, or put it "
        "into Cloud Storage",
    )


class _Connection(http.client.HTTPSConnection):
    """A connection to an address that was judged; the certificate must be the host's."""

    def __init__(self, page: Page, rules: HttpsRules) -> None:
        self._tls = ssl.create_default_context(cafile=rules.ca_file)
        super().__init__(page.host, page.port, timeout=rules.timeout, context=self._tls)
        self._rules, self.late = rules, False
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        """Resolve, classify_failure, and connect to what was judged."""
        addresses = self._rules.resolve(self.host, self.port)
        if not addresses or not all(map(self._rules.allowed, addresses)):
            raise RejectError(
                "uri_not_allowed",
                f"{self.host} stands for an address of an internal network, which is never read",
            )
        raw = _first_that_answers(addresses, self.port, self._rules.timeout)
        self._raw = raw
        try:
            self.sock: Any = self._tls.wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise
        self._raw = self.sock

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Cut the connection at the deadline, whatever the server does meanwhile."""
        timer = threading.Timer(self._rules.deadline, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        self.late = True
        raw = self._raw
        if raw is not None:
            try:
                # The plain one: that of a TLS socket would take the state from under the reader.
                socket.socket.shutdown(raw, socket.SHUT_RDWR)
            except OSError:
                return  # closed already


def _first_that_answers(addresses: list[str], port: int, timeout: float) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), timeout)
