"""A scripted server on a bare socket: it records each request and answers or cuts as told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEY = "AIza-test-key-0123456789"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One accepted connection, as an act of the script sees it."""

    sock: socket.socket
    server: ScriptedServer
    pending: bytearray = field(default_factory=bytearray)

    def fill(self, until: Callable[[], bool]) -> None:
        while not until():
            got = self.sock.recv(1 << 16)
            if not got:
                raise ConnectionError("client went away")
            self.pending += got

    def read_head(self) -> Request:
        self.fill(lambda: b"\r\n\r\n" in self.pending)
        head, _, rest = bytes(self.pending).partition(b"\r\n\r\n")
        self.pending[:] = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        request = Request(method, path, headers, b"")
        self.server.requests.append(request)
        return request

    def read(self) -> Request:
        request = self.read_head()
        length = int(request.headers.get("content-length", 0))
        self.fill(lambda: len(self.pending) >= length)
        request.body = bytes(self.pending[:length])
        del self.pending[:length]
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        lines = {"content-type": "application/json", "content-length": str(len(body))}
        lines |= headers or {}
        head = "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.send(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


Act = Callable[[Connection], bool | None]


def answer(status: int = 200, content: Any = None, headers: dict[str, str] | None = None) -> Act:
    """Read a request, then answer; JSON unless bytes are given."""
    body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()

    def act(connection: Connection) -> None:
        connection.read()
        connection.reply(status, body, headers)

    return act


def cut_before_body(connection: Connection) -> bool:
    connection.read_head()
    return False


def cut_after_request(connection: Connection) -> bool:
    connection.read()
    return False


def cut_in_answer(connection: Connection) -> bool:
    connection.read()
    connection.send(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"name":"batch')
    return False


class ScriptedServer:
    """Runs one act a request, in order; a request beyond the script is answered 500."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.script: deque[Act] = deque()
        self.beyond = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def then(self, *acts: Act) -> None:
        self.script.extend(acts)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(sock, self)
        try:
            while sock.recv(1, socket.MSG_PEEK):
                if self.script:
                    act = self.script.popleft()
                else:
                    self.beyond += 1
                    act = answer(500)
                if act(connection) is False:
                    break
        except OSError:
            return
        finally:
            sock.close()

    def close(self) -> None:
        """End all threads; what they recorded is complete then."""
        for sock in (self._listener, *self._sockets):
            # Without the shutdown a blocked accept or recv would not wake up.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
