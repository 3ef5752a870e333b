"""A local webhook that answers from a script and keeps what it was sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.waiting import DEADLINE


class Hook:
    """Answers with `statuses` one after the other, then 200; 0 means that it never answers."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.location = ""
        self.got: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.end = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks/secret-part-of-it"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.got]

    def close(self) -> None:
        self.end.set()
        self.server.shutdown()
        self.server.server_close()


def _handler(hook: Hook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.got.append(self.rfile.read(int(self.headers["content-length"])))
            hook.headers.append(dict(self.headers))
            status = hook.statuses.pop(0) if hook.statuses else 200
            if not status:
                hook.end.wait(DEADLINE)
                return
            self.send_response(status)
            if hook.location:
                self.send_header("location", hook.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    return Handler


@contextlib.contextmanager
def serve_hook() -> Iterator[Hook]:
    """Serve one until the block ends."""
    hook = Hook()
    try:
        yield hook
    finally:
        hook.close()
