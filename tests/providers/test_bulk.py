"""Large answers over urllib3's connections: the same answers and errors as over httpx's."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from providers.scripted import KEY, Act, Connection, ScriptedServer, answer
from reembed.providers.gemini.http import BulkTransport, Call, Endpoint, Wire
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


def bulk(tls: ssl.SSLContext | None = None, timeout: float = 5.0) -> httpx.Client:
    transport = BulkTransport(tls or ssl.create_default_context())
    return httpx.Client(transport=transport, timeout=timeout)


def ask(client: httpx.Client, url: str) -> tuple[int, list[str], bytes]:
    with client.stream("GET", url, headers={"accept-encoding": "identity"}) as response:
        twice = response.headers.get_list("x-twice")
        return response.status_code, twice, b"".join(response.iter_raw())


@pytest.mark.parametrize("path", ["/whole", "/chunked", "/gone", "/part", "/packed"])
def test_answers_are_those_that_httpx_gives(path: str) -> None:
    with serving() as url, bulk() as ours, httpx.Client() as theirs:
        found = ask(ours, url + path)
        assert found == ask(theirs, url + path)
        assert found[2] == BODY


def test_a_connection_is_used_again_unless_something_was_left_unread() -> None:
    with serving() as url, bulk() as client:
        for path in ("/whole", "/chunked", "/whole"):
            ask(client, url + path)
        assert len(Serving.connections) == 1
        with client.stream("GET", f"{url}/whole") as response:
            next(response.iter_raw())
        ask(client, f"{url}/whole")
        assert len(Serving.connections) == 2


def cut(connection: Connection) -> bool:
    connection.read()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + b"x" * 100)
    return False


def cut_chunk(connection: Connection) -> bool:
    connection.read()
    connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n" + b"x" * 100)
    return False


@pytest.mark.parametrize("act", [cut, cut_chunk])
def test_what_came_before_a_cut_is_passed_on(server: ScriptedServer, act: Act) -> None:
    server.then(act)
    came: list[bytes] = []

    def take() -> None:
        with bulk() as client, client.stream("GET", server.url) as response:
            came.extend(response.iter_raw())

    with pytest.raises(httpx.RemoteProtocolError):
        take()
    assert b"".join(came) == b"x" * 100


def test_faults_are_httpx_s(server: ScriptedServer, closed_port: str) -> None:
    held = threading.Event()
    server.then(lambda connection: held.wait(DEADLINE) and False)
    with bulk(timeout=0.3) as client:
        with pytest.raises(httpx.ConnectError):
            ask(client, closed_port)
        with pytest.raises(httpx.ReadTimeout):
            ask(client, server.url)
        held.set()
        with pytest.raises(httpx.ConnectError):
            ask(client, "http://nowhere.invalid/x")


def test_servers_are_checked_by_the_context_that_is_given(tmp_path: Path) -> None:
    files = certificate(tmp_path, "127.0.0.1")
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(*files)
    with serving(offered) as url:
        with bulk(ssl.create_default_context(cafile=files.cert)) as client:
            assert ask(client, f"{url}/whole")[2] == BODY
        with bulk() as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY"):
            ask(client, f"{url}/whole")


def test_a_proxy_of_the_environment_is_heeded(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then(answer(content=BODY))
    monkeypatch.setenv("HTTP_PROXY", server.url)
    wire = Wire(Endpoint("http://service.invalid", "v1beta", 5.0), Secret(KEY))
    with wire.stream(Call("download", "GET", wire.endpoint.url("files/f"))) as response:
        assert b"".join(response.iter_raw()) == BODY
    assert server.requests[0].path == "http://service.invalid/v1beta/files/f"
    wire.close()
