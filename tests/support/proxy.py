"""An HTTP proxy before a local server: records requests, loses answers, fails on request."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Given the method and the path with its query: None forwards, "lose" forwards and cuts the answer,
# a number answers with that status without forwarding.
Rule = Callable[[str, str], "str | int | None"]


@dataclass
class Proxy:
    """A running proxy and the request lines that it saw."""

    url: str
    seen: list[str] = field(default_factory=list)


@contextmanager
def start_proxy(upstream: str, rule: Rule) -> Iterator[Proxy]:
    """Forward to `upstream` by `rule` until the block ends."""
    target = urlsplit(upstream).netloc
    proxy = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            proxy.seen.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            verdict = rule(self.command, self.path)
            if isinstance(verdict, int):
                self.reply(verdict, {}, b"{}")
                return
            upstream_connection = http.client.HTTPConnection(target, timeout=30)
            upstream_connection.request(self.command, self.path, body, dict(self.headers))
            response = upstream_connection.getresponse()
            content = response.read()
            upstream_connection.close()
            if verdict == "lose":
                self.close_connection = True
                return
            self.reply(response.status, dict(response.getheaders()), content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
