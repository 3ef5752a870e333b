"""Pages come by https from public addresses alone; an internal one sees no connection at all."""

from __future__ import annotations

import http.server
import ipaddress
import pickle
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from reembed.errors import ObjectNotFoundError, RejectError, StorageError
from reembed.storage.content import ContentReader
from reembed.storage.https import HttpsRules, fetch, is_public, split_https
from reembed.storage.local import LocalStorage
from support.certificates import certificate
from support.waiting import DEADLINE

HOST = "pages.example"


@dataclass
class Site:
    """A local server behind TLS that says what a path asks for."""

    port: int = 0
    ca: str = ""
    seen: list[str] = field(default_factory=list)

    def rules(self, **other: object) -> HttpsRules:
        """Rules under which this very machine may be read, as `HOST`."""
        base = HttpsRules(
            1000, 5.0, 5.0, (), lambda _: True, lambda _h, _p: ["127.0.0.1"], ca_file=self.ca
        )
        return replace(base, **other)  # type: ignore[arg-type]

    def url(self, path: str) -> str:
        return f"https://{HOST}:{self.port}/{path}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site, over = Site(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.seen.append(self.path)
            what, _, rest = self.path[1:].partition("/")
            if what == "to":
                self.send_response(302)
                self.send_header("Location", rest)
                self.end_headers()
                return
            status = int(what) if what.isdigit() else 200
            self.send_response(status)
            body = b"x" * 1001 if what == "large" else b"some words"
            if what == "packed":
                self.send_header("Content-Encoding", "gzip")
            if what != "large":
                self.send_header("Content-Length", str(len(body) + (what == "short")))
            self.end_headers()
            if what == "hang":
                over.wait(DEADLINE)
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    cert, key = certificate(tmp_path_factory.mktemp("tls"), HOST)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    site.port, site.ca = server.server_address[1], cert
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield site
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def body(url: str, rules: HttpsRules) -> bytes:
    with fetch(url, rules) as page:
        return page.read()


def test_a_page_and_redirects(site: Site) -> None:
    assert body(site.url("page?a=b c%20d"), site.rules()) == b"some words"
    assert site.seen[-1] == "/page?a=b%20c%20d"
    assert body(site.url("to//page"), site.rules()) == b"some words"
    assert body(site.url(f"to/{site.url('page')}"), site.rules()) == b"some words"
    with ContentReader(LocalStorage(), site.rules()).open(site.url("page")) as opened:
        assert (opened.stream.read(), opened.generation) == (b"some words", "")


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("404", ObjectNotFoundError, "says 404"),
        ("403", StorageError, "says 403"),
        ("503", StorageError, "says 503"),
        ("short", StorageError, "IncompleteRead"),
        ("packed", StorageError, "compresses the page"),
        ("to/to/to/to/to/to/page", StorageError, "redirects"),
        ("large", RejectError, "too_large"),
        ("to/http://127.0.0.1/", RejectError, "unsupported_uri"),
        ("to/file:///etc/passwd", RejectError, "unsupported_uri"),
        ("to/gs://b/o", RejectError, "unsupported_uri"),
    ],
)
def test_what_is_no_page(site: Site, path: str, error: type[Exception], said: str) -> None:
    if path.startswith("to/to"):
        path = "to//" * 6 + "page"
    with pytest.raises(error, match=said):
        body(site.url(path), site.rules())


def test_a_server_that_hangs_is_left_at_the_deadline(site: Site) -> None:
    with pytest.raises(StorageError, match=r"within 0\.3 s"):
        body(site.url("hang"), site.rules(deadline=0.3))


def test_what_may_pass_is_tried_again(site: Site) -> None:
    before = len(site.seen)
    with pytest.raises(StorageError, match="says 503"):
        body(site.url("503"), site.rules(pauses=(0.01, 0.01)))
    assert len(site.seen) - before == 3


def test_the_certificate_must_be_the_hosts(site: Site) -> None:
    wrong = site.url("page").replace(HOST, "other.example")
    with pytest.raises(StorageError, match="SSLCertVerificationError"):
        body(wrong, site.rules())
    with pytest.raises(StorageError, match="SSLCertVerificationError"):
        body(site.url("page"), site.rules(ca_file=None))


INSIDE = [
    "https://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f.1:{port}/",
    "https://0:{port}/",
    "https://[::1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
]


@pytest.mark.parametrize("url", INSIDE)
def test_no_internal_address_is_connected_to(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        target = url.format(port=server.getsockname()[1])
        with pytest.raises((RejectError, StorageError)):
            body(target, HttpsRules(1000, 2.0, 2.0, ()))
        with pytest.raises(TimeoutError):
            server.accept()


def test_neither_by_a_redirect_nor_by_a_name_that_changes_its_answer(site: Site) -> None:
    """The first answer is judged and is what is connected to; a redirect is judged anew."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        inside = f"https://inside.example:{server.getsockname()[1]}/"
        asked: list[str] = []

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if host == HOST else ["127.0.0.2", "127.0.0.1"]

        rules = site.rules(resolve=resolve, allowed=lambda address: address == "127.0.0.1")
        with pytest.raises(RejectError, match="internal network"):
            body(site.url(f"to/{inside}"), rules)
        with pytest.raises(TimeoutError):
            server.accept()
        assert asked == [HOST, "inside.example"]
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    once = site.rules(resolve=lambda _h, _p: next(answers))
    assert body(site.url("page"), once) == b"some words"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "192.0.2.1"),
        *("::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1", "::127.0.0.1", "words"),
        *("64:ff9b:1::7f00:1", "2001::7f00:1", "240.0.0.1", "198.18.0.1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)
    assert ipaddress.ip_address(address)


@pytest.mark.parametrize(
    "url",
    [
        *("https://", "https:///x", "https://user:word@a.example/", "https://a.example:0/"),
        *(
            "https://a.example:99999/",
            "https://a.example/\x01",
            "https://[::1/",
            "https://a b/",
        ),
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(RejectError) as caught:
        split_https(url)
    assert caught.value.code == "bad_uri"
    assert "word" not in caught.value.message


def test_without_rules_no_page_is_read_and_rules_travel() -> None:
    with (
        pytest.raises(RejectError, match="with source"),
        ContentReader(LocalStorage()).open("https://a/"),
    ):
        pass
    assert pickle.loads(pickle.dumps(HttpsRules(5))) == HttpsRules(5)
