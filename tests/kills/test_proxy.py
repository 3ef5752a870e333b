"""The proxy that kills: on which side of a request, and whom."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kills.points import Point
from kills.proxy import KillingProxy
from support.waiting import DEADLINE

BODY = b"0123456789" * 1000
# Sends two requests on one connection and writes down how much of each answer came.
CLIENT = """
import http.client, sys
port = int(sys.argv[1])
print("begun", flush=True)
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
for number in range(2):
    chunks = iter([b"a" * 5000, b"b" * 5000])
    connection.request("POST", "/v1beta/models/m:asyncBatchEmbedContent", chunks,
                       encode_chunked=True)
    answer = connection.getresponse()
    print("head", flush=True)
    while piece := answer.read1(1000):
        print("piece", len(piece), flush=True)
    answer.read()
    print("answered", flush=True)
"""


@contextmanager
def upstream() -> Iterator[tuple[str, list[int]]]:
    """A server that notes the length of each body that arrived whole."""
    whole: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            wanted = int(self.headers["Content-Length"])
            body = self.rfile.read(wanted)
            if len(body) == wanted:
                whole.append(wanted)
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", whole
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def start(proxy: KillingProxy) -> subprocess.Popen[str]:
    port = proxy.url.rsplit(":", 1)[1]
    return subprocess.Popen([sys.executable, "-c", CLIENT, port], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("how", "arrived", "pieces"),
    [("before", 1, 10_000), ("midway", 1, 10_000), ("after", 2, 10_000), ("within", 2, 15_000)],
)
def test_the_second_create_is_killed_on_the_side_asked_for(
    how: str, arrived: int, pieces: int
) -> None:
    with upstream() as (url, whole):
        proxy = KillingProxy(url)
        proxy.arm(Point("request", "create", 2, how))
        process, said = start(proxy), list[str]()
        # What was printed is lost for a process that dies between reading and printing.
        proxy.has_read = lambda port: printed(said) == pieces
        proxy.watch([process.pid])
        assert process.stdout is not None
        said.extend(iter(process.stdout.readline, ""))
        process.communicate(timeout=DEADLINE)
        proxy.close()
    assert process.returncode == -9
    assert proxy.counts == {"create": 2}
    assert whole == [10_000] * arrived, "chunked bodies are passed on whole"
    assert printed(said) == pieces
    assert said.count("answered\n") == 1


def printed(said: list[str]) -> int:
    """How many bytes of answers a client says that it has."""
    return sum(int(line.split()[1]) for line in said if line.startswith("piece"))


def test_of_two_processes_the_one_whose_request_it_is_is_killed() -> None:
    with upstream() as (url, _):
        proxy = KillingProxy(url)
        proxy.arm(Point("request", "create", 3, "before"))
        first = start(proxy)
        first_said = first.communicate(timeout=DEADLINE)[0]
        second = start(proxy)
        proxy.watch([first.pid, second.pid])
        second.communicate(timeout=DEADLINE)
        proxy.close()
    assert first_said.count("answered") == 2
    assert (first.returncode, second.returncode) == (0, -9)


def test_without_a_point_it_only_counts() -> None:
    with upstream() as (url, _):
        proxy = KillingProxy(url)
        proxy.arm(None)
        process = start(proxy)
        process.communicate(timeout=DEADLINE)
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=DEADLINE)
        connection.request("POST", "/elsewhere", b"")
        assert len(connection.getresponse().read()) == len(BODY)
        connection.close()
        proxy.close()
    assert process.returncode == 0
    assert proxy.counts == {"create": 2, "other": 1}
