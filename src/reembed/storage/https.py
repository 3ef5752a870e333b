"""Read public web pages: https only, and never an address of an internal network.

A manifest may come from somebody else. A URL in it must not make the machine that runs fetch the
metadata service of its cloud, or a server that only its network reaches (server-side request
forgery). So the host is resolved here, every address is checked, and the connection goes to an
address that was checked: left to the library, the name would be resolved a second time, and could
answer otherwise then (DNS rebinding).
"""

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

# Metadata service of one cloud vendor; its address is a public one by its number.
_METADATA = frozenset({"168.63.129.16"})
# Networks of IPv6 whose addresses contain one of IPv4, to which a gateway may forward.
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32", "64:ff9b::/32")))


def is_public(address: str) -> bool:
    """Tell whether an address belongs to the public internet.

    Loopback, private, link-local (with the metadata services), shared, multicast, reserved and
    unspecified addresses do not, nor addresses of IPv6 that map or contain one of IPv4.

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
        if found.scope_id is not None or any(found in net for net in _EMBEDDING):
            return False
    refused = found.is_multicast or found.is_reserved or str(found) in _METADATA
    return found.is_global and not refused


def addresses_of(host: str, port: int) -> list[str]:
    """Resolve a host's name to all its addresses, in the system's order.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_REDIRECTS: Final = 5
_BLOCK: Final = 1 << 16
_HEADERS: Final = {
    "User-Agent": f"reembed/{__version__}",
    "Accept": "*/*",
    # A compressed page could expand to any size.
    "Accept-Encoding": "identity",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class HttpsRules:
    """Limits of reading web pages, and the functions that decide about addresses.

    `max_bytes` is of one page; `timeout` of a connect or a read and `deadline` of a whole page
    are in seconds; `pauses` are the seconds before each further try. `allowed` checks an
    address, `resolve` returns those of a host; `ca_file` replaces the system's certificates.
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
    """Parts of a page's URL: host and port to connect to, target to request there."""

    host: str
    port: int
    target: str


class _TransientError(StorageError):
    """Error that may pass: the same request may work later."""


def split_https(url: str) -> Page:
    """Split the URL of a page.

    Raises:
        RejectError: ``unsupported_uri`` for another scheme, ``bad_uri`` for a malformed one.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        ascii_host = host.encode("idna").decode() if host and not host.isascii() else host
    except (ValueError, UnicodeError) as err:
        raise RejectError("bad_uri", f"{url[:200]!r} is not the address of a page ({err})") from err
    if parts.scheme != "https":
        raise RejectError("unsupported_uri", f"{url[:200]!r}: only https:// pages are read")
    if not ascii_host or port == 0 or " " in parts.netloc or not url.isprintable():
        raise RejectError("bad_uri", f"{url[:200]!r} is not the address of a page")
    if "@" in parts.netloc:
        # The address is written into rows: it must not contain a password, nor does the message.
        raise RejectError("bad_uri", "the address of a page contains a user's name; leave it out")
    target = quote(parts.path or "/", safe="/%:=&?~+!$,;'@()*[]")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:=&?~+!$,;'@()*[]")
    return Page(ascii_host, port or 443, target)


def fetch(url: str, rules: HttpsRules) -> BinaryIO:
    """Read a page into a temporary file, which the caller closes.

    Every address of its host must be allowed. Each redirect is checked like a URL of its own: a
    public page could redirect to an internal one. No proxy is used: it would resolve the name
    itself.

    Raises:
        ObjectNotFoundError: the server says that there is no such page.
        StorageError: it cannot be read.
        RejectError: ``uri_not_allowed``, ``too_large``, or the codes of `split_https`.
    """
    for pause in (*rules.pauses, None):
        try:
            return _follow(url, rules)
        except _TransientError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _follow(url: str, rules: HttpsRules) -> BinaryIO:
    at = url
    for _ in range(_MOST_REDIRECTS + 1):
        found = _request(at, rules)
        if not isinstance(found, str):
            return found
        at = urljoin(at, found)
    raise StorageError(f"{url}: more than {_MOST_REDIRECTS} redirects; give the last address")


def _request(url: str, rules: HttpsRules) -> str | BinaryIO:
    """Send one request; return the page, or the target of a redirect."""
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
        message = f"{url}: cannot be read{late} ({type(err).__name__}: {err})"
        # A wrong certificate will still be wrong in four seconds.
        transient = not connection.late and not isinstance(err, ssl.SSLCertVerificationError)
        raise (_TransientError if transient else StorageError)(message) from err
    finally:
        connection.close()


def _check_answer(url: str, response: http.client.HTTPResponse, rules: HttpsRules) -> None:
    status = response.status
    if status in (404, 410):
        raise ObjectNotFoundError(f"{url}: the server says {status}")
    if status != 200:
        error = _TransientError if status in _TRANSIENT else StorageError
        raise error(f"{url}: the server says {status} {response.reason[:80]}")
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise StorageError(f"{url}: the server compresses the page ({encoding[:40]}) unasked")
    if response.length is not None and response.length > rules.max_bytes:
        raise _too_large(url, rules)


def _body(url: str, response: http.client.HTTPResponse, rules: HttpsRules) -> BinaryIO:
    out = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        size = 0
        # One receive at a time: a server that sends byte by byte must not block a read for long.
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
    """Connection to an address that was checked; the certificate must be the host's."""

    def __init__(self, page: Page, rules: HttpsRules) -> None:
        self._tls = ssl.create_default_context(cafile=rules.ca_file)
        super().__init__(page.host, page.port, timeout=rules.timeout, context=self._tls)
        self._rules, self.late = rules, False
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        """Resolve the host, check all its addresses, and connect to one of these very addresses."""
        addresses = self._rules.resolve(self.host, self.port)
        if not addresses or not all(map(self._rules.allowed, addresses)):
            raise RejectError(
                "uri_not_allowed",
                f"{self.host} has an address of an internal network, which is never read",
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
        """Cut the connection at the deadline, whatever the server does meanwhile.

        Timeouts of the socket bound one read each: a server that sends a byte a second would
        never meet them.
        """
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
                # The plain socket's shutdown: that of the TLS socket would change state that the
                # reading thread is using.
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
