"""A server that takes resumable uploads and keeps nothing of them."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 1 << 20
_SIZES: dict[str, int] = {}
_NAMES: dict[str, str] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        if self.path.startswith("/upload/"):
            name = json.loads(self.rfile.read(size))["file"]["name"]
            session = f"/sessions/{len(_NAMES)}"
            _NAMES[session], _SIZES[session] = name, 0
            address = f"http://{self.headers['Host']}{session}"
            self._reply(b"{}", {"x-goog-upload-url": address, "x-goog-upload-status": "active"})
            return
        _SIZES[self.path] += size
        while size:
            size -= len(self.rfile.read(min(size, _PIECE)))
        if "finalize" in self.headers.get("X-Goog-Upload-Command", ""):
            file = {"name": _NAMES[self.path], "sizeBytes": str(_SIZES[self.path])}
            self._reply(json.dumps({"file": file}).encode(), {"x-goog-upload-status": "final"})
        else:
            self._reply(b"", {"x-goog-upload-status": "active"})

    def _reply(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the parent reads standard output."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
