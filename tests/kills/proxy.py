"""An HTTP proxy that counts the requests of a process, and at the n-th of a kind kills it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kills.points import Point, kind_of_request
from support.waiting import DEADLINE, wait_until

_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive")
_PIECE = 1 << 16


class KillingProxy:
    """Stands before `upstream` until it is closed; `counts` are requests by kind since `arm`.

    `has_read` tells whether the client at a port has taken all that was sent to it.
    """

    def __init__(self, upstream: str) -> None:
        self.has_read: Callable[[int], bool] = _has_read
        self._target = urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self._point: Point | None = None
        self._pids: Sequence[int] = ()
        self._watched = threading.Event()
        self.counts: Counter[str] = Counter()
        self.killed = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def arm(self, point: Point | None) -> None:
        """Count from 1 again, and kill at a request, once; None only counts."""
        with self._lock:
            self.counts, self._point, self.killed, self._pids = Counter(), point, 0, ()
            self._watched.clear()

    def watch(self, pids: Sequence[int]) -> None:
        """Say which processes speak through here: the one whose request it is will be killed."""
        self._pids = pids
        self._watched.set()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def side_of(self, kind: str) -> str:
        """Count a request; on which side of it to kill, empty for not at all."""
        with self._lock:
            self.counts[kind] += 1
            point = self._point
            if point is None or self.killed or not point.is_met_by(kind, self.counts[kind]):
                return ""
            self.killed = -1
            return point.how

    def kill_owner(self, port: int) -> None:
        """Kill the process that holds the connection of a port."""
        assert self._watched.wait(DEADLINE), "nobody has said whom to kill"
        pids = self._pids
        self.killed = pids[0] if len(pids) == 1 else _owner(port, pids)
        os.kill(self.killed, signal.SIGKILL)

    def upstream(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._target, timeout=DEADLINE)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: KillingProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed breaks its connections: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def pass_on(self) -> None:
        proxy = self.server.proxy
        body = _body(self.rfile, self.headers)
        how = proxy.side_of(kind_of_request(self.command, self.path, self.headers))
        if how == "before":
            return self._kill()
        with contextlib.closing(proxy.upstream()) as connection:
            self._begin(connection, len(body))
            if how == "midway":
                connection.send(body[: len(body) // 2])
                return self._kill()
            for at in range(0, len(body), _PIECE):
                connection.send(body[at : at + _PIECE])
            answer = connection.getresponse()
            content = answer.read()
        if how == "after":
            return self._kill()
        head = self._head(answer, len(content))
        if how == "within":
            half = head + content[: len(content) // 2] if content else head[: len(head) // 2]
            self.wfile.write(half)
            port = self.client_address[1]
            wait_until(lambda: proxy.has_read(port), "the client reads what came", every=0.002)
            return self._kill()
        # In one piece: a head of its own would wait for the client's acknowledgement.
        self.wfile.write(head + content)
        return None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

    def _begin(self, connection: http.client.HTTPConnection, length: int) -> None:
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP:
                connection.putheader(name, value)
        if length or self.command != "GET":
            connection.putheader("Content-Length", str(length))
        connection.endheaders()

    def _head(self, answer: http.client.HTTPResponse, length: int) -> bytes:
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{n}: {v}" for n, v in answer.getheaders() if n.lower() not in _HOP]
        lines += [f"Content-Length: {length}", "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def _kill(self) -> None:
        self.server.proxy.kill_owner(self.client_address[1])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


def _body(stream: Any, headers: Any) -> bytes:
    if "chunked" not in (headers.get("transfer-encoding") or "").lower():
        return stream.read(int(headers.get("content-length") or 0))
    pieces = []
    while size := int(stream.readline().split(b";")[0], 16):
        pieces.append(stream.read(size))
        stream.readline()
    while stream.readline().strip():
        pass  # trailers
    return b"".join(pieces)


def _owner(port: int, pids: Sequence[int]) -> int:
    """Which of the processes has a socket with this local port."""
    nodes = {f"socket:[{row[9]}]" for row in _sockets(port)}
    for pid in pids:
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(handle) in nodes:
                        return pid
    raise ProcessLookupError(f"no process of {pids} holds port {port}")


def _has_read(port: int) -> bool:
    """Whether nothing that was sent to this local port waits to be read any more."""
    queued = [int(row[4].split(":")[1], 16) for row in _sockets(port)]
    return not any(queued)


def _sockets(port: int) -> list[list[str]]:
    """The rows of the kernel's table of TCP sockets that have this local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if int(row[1].rsplit(":", 1)[1], 16) == port]
