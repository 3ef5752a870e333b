"""Connections: what is read is what httpx reads, and what was not sent is told from the rest."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from providers.scripted import KEY, Act, Connection, ScriptedServer, answer, cut_after_request
from reembed.errors import UsageError
from reembed.providers.gemini.http import Call, Endpoint, GeminiHttp
from reembed.providers.http import BrokenError, HttpClient, NotConnectedError, proxy_of, tls_context
from reembed.providers.keys import Secret
from support.certificates import certificate
from support.waiting import DEADLINE

BODY = bytes(range(256)) * 4000


class Serving(BaseHTTPRequestHandler):
    """Answers by path; counts its connections."""

    protocol_version = "HTTP/1.1"
    connections: set[tuple[str, int]]

    def do_GET(self) -> None:
        self.connections.add(self.client_address)
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 50_000):
                piece = BODY[start : start + 50_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        code = {"/gone": 404, "/part": 206}.get(self.path, 200)
        self.send_response(code)
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("X-Twice", "1")
        self.send_header("X-Twice", "2")
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[str]:
    Serving.connections = set()
    server = Server(("127.0.0.1", 0), Serving)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(5.0, by_proxy=False)
    yield client
    client.close()


def ask(client: HttpClient, url: str) -> tuple[int, list[str], bytes]:
    response = client.open("GET", url, {"accept-encoding": "identity"})
    body = b"".join(response.pieces())
    response.close()
    return response.status, response.headers.getlist("x-twice"), body


def ask_httpx(url: str) -> tuple[int, list[str], bytes]:
    with (
        httpx.Client() as client,
        client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
    ):
        twice = response.headers.get_list("x-twice")
        return response.status_code, twice, b"".join(response.iter_raw())


@pytest.mark.parametrize("path", ["/whole", "/chunked", "/gone", "/part", "/packed"])
def test_answers_are_those_that_httpx_gives(client: HttpClient, path: str) -> None:
    with serving() as url:
        found = ask(client, url + path)
        assert found == ask_httpx(url + path)
        assert found[2] == BODY


def test_a_connection_is_used_again_unless_something_was_left_unread(client: HttpClient) -> None:
    with serving() as url:
        for path in ("/whole", "/chunked", "/whole"):
            ask(client, url + path)
        assert len(Serving.connections) == 1
        response = client.open("GET", f"{url}/whole", {})
        next(response.pieces())
        response.close()
        ask(client, f"{url}/whole")
        assert len(Serving.connections) == 2


def test_a_request_alone_has_a_connection_of_its_own(client: HttpClient) -> None:
    with serving() as url:
        ask(client, f"{url}/whole")
        with client.open_alone("GET", f"{url}/whole", {}) as response:
            assert b"".join(response.pieces()) == BODY
        ask(client, f"{url}/whole")
        assert len(Serving.connections) == 2


def test_a_packed_answer_is_unpacked_where_that_is_wanted(
    server: ScriptedServer, client: HttpClient
) -> None:
    packed = gzip.compress(BODY)
    server.then(*[answer(content=packed, headers={"content-encoding": "gzip"})] * 2)
    assert b"".join(client.open("GET", server.url, {}).pieces(decode=True)) == BODY
    assert b"".join(client.open("GET", server.url, {}).pieces()) == packed


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_body_arrives_as_it_is(
    server: ScriptedServer, client: HttpClient, size: int, pieces: bool
) -> None:
    body = bytes(n % 251 for n in range(size))
    server.then(answer())
    sent = iter([body[:7], b"", body[7:]]) if pieces else body
    headers = {"content-length": str(size), "x-mine": "1"}
    client.open("POST", f"{server.url}/a?b=c%20d", headers, sent).close()
    [request] = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/a?b=c%20d", body)
    assert request.headers["x-mine"] == "1"
    assert request.headers["user-agent"].startswith("reembed/")
    assert "transfer-encoding" not in request.headers


def test_redirects_are_not_followed(server: ScriptedServer, client: HttpClient) -> None:
    server.then(answer(302, headers={"location": "/elsewhere"}))
    assert client.open("GET", server.url, {}).status == 302
    assert len(server.requests) == 1


def cut(connection: Connection) -> bool:
    connection.read()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + b"x" * 100)
    return False


def cut_chunk(connection: Connection) -> bool:
    connection.read()
    connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n" + b"x" * 100)
    return False


@pytest.mark.parametrize("act", [cut, cut_chunk])
def test_what_came_before_a_cut_is_passed_on(
    server: ScriptedServer, client: HttpClient, act: Act
) -> None:
    server.then(act)
    came: list[bytes] = []
    with pytest.raises(BrokenError):
        came.extend(client.open("GET", server.url, {}).pieces())
    # `extend` keeps what a generator gave before it raised.
    assert b"".join(came) == b"x" * 100


@pytest.mark.parametrize("by_proxy", [False, True])
def test_what_comes_before_a_connection_stands_proves_that_nothing_was_sent(
    by_proxy: bool, closed_port: str
) -> None:
    client = HttpClient(5.0, by_proxy)
    for url in (closed_port, "http://nowhere.invalid/x", "http://[bad/", "ftp://127.0.0.1/x"):
        with pytest.raises(NotConnectedError):
            ask(client, url)
        with pytest.raises(NotConnectedError), client.open_alone("POST", url, {}, b"{}"):
            pass


def test_what_comes_after_it_proves_nothing(server: ScriptedServer) -> None:
    held = threading.Event()
    client = HttpClient(0.3, by_proxy=False)
    server.then(lambda connection: False, cut_after_request, answer_of(b"nonsense\r\n\r\n"))
    server.then(lambda connection: held.wait(DEADLINE) and False)
    for _ in range(3):
        with pytest.raises(BrokenError):
            ask(client, server.url)
    with pytest.raises(BrokenError, match="ReadTimeoutError"):
        ask(client, server.url)
    held.set()
    client.close()


def answer_of(raw: bytes) -> Act:
    def act(connection: Connection) -> bool:
        connection.read()
        connection.send(raw)
        return False

    return act


def test_a_reset_while_the_body_is_written_proves_nothing(
    server: ScriptedServer, client: HttpClient
) -> None:
    read = threading.Event()

    def reset(connection: Connection) -> bool:
        connection.read_head()
        # Closed with unread bytes, the kernel resets the connection.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sock.close()
        read.set()
        return False

    def body() -> Iterator[bytes]:
        yield b"x" * 1000
        assert read.wait(DEADLINE)
        for _ in range(100):
            yield b"x" * 65_536

    server.then(reset)
    with pytest.raises(BrokenError):
        client.open("POST", server.url, {"content-length": str(1000 + 100 * 65_536)}, body())


def test_servers_are_checked_by_what_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: HttpClient
) -> None:
    files = certificate(tmp_path, "127.0.0.1")
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(*files)
    with serving(offered) as url:
        with pytest.raises(NotConnectedError, match="CERTIFICATE_VERIFY"):
            ask(client, f"{url}/whole")
        monkeypatch.setenv("SSL_CERT_FILE", str(files.cert))
        assert ask(HttpClient(5.0, by_proxy=False), f"{url}/whole")[2] == BODY
    assert tls_context({"SSL_CERT_DIR": str(tmp_path)}).verify_mode == ssl.CERT_REQUIRED


def test_a_server_that_speaks_no_tls_gets_nothing(
    server: ScriptedServer, client: HttpClient
) -> None:
    server.then(lambda connection: False)
    with pytest.raises(NotConnectedError):
        ask(client, server.url.replace("http:", "https:"))
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("http://a.org/x", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("https://a.org/x", {"http_proxy": "http://p:1"}, ""),
        ("https://a.org/x", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://a.org/x", {"all_proxy": "http://p:1"}, "http://p:1"),
        ("http://a.org/x", {"http_proxy": "http://p:1", "no_proxy": "b.org, a.org"}, ""),
        ("http://www.a.org/x", {"http_proxy": "http://p:1", "no_proxy": ".A.org"}, ""),
        ("http://wwwa.org/x", {"http_proxy": "http://p:1", "no_proxy": "a.org"}, "http://p:1"),
        ("http://a.org:81/x", {"http_proxy": "http://p:1", "no_proxy": "a.org:81"}, ""),
        ("http://a.org/x", {"http_proxy": "http://p:1", "no_proxy": "b.org,*"}, ""),
        ("http://[::1]/x", {"http_proxy": "http://p:1", "no_proxy": "[::1]"}, ""),
        ("http://a.org/x", {"http_proxy": "http://p:1", "no_proxy": " ,"}, "http://p:1"),
    ],
)
def test_proxies_are_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], proxy: str
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@p:1")
    with pytest.raises(UsageError, match=r"socks5:// .*name the host in NO_PROXY") as caught:
        proxy_of("https://a.org/x")
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_is_heeded(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then(answer(content=BODY))
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//me:a%20b@"))
    http = GeminiHttp(Endpoint("http://service.invalid", "v1beta", 5.0), Secret(KEY))
    with http.stream(Call("download", "GET", http.endpoint.url("files/f"))) as response:
        assert b"".join(response.pieces()) == BODY
    [request] = server.requests
    assert request.path == "http://service.invalid/v1beta/files/f"
    login = base64.b64encode(b"me:a b").decode()
    assert request.headers["proxy-authorization"] == f"Basic {login}"
    http.close()


def test_a_proxy_that_opens_no_tunnel_proves_that_nothing_was_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.then(answer(407))
    client = HttpClient(5.0, by_proxy=True)
    with (
        pytest.raises(NotConnectedError, match="407"),
        client.open_alone("POST", "https://service.invalid/x", {"x-goog-api-key": KEY}, b"{}"),
    ):
        pass
    [request] = server.requests
    assert (request.method, request.path) == ("CONNECT", "service.invalid:443")
    assert KEY not in str(request.headers)
