"""A server of prerendered answers: enough of the protocol for the vendor's SDK, at little cost."""

from __future__ import annotations

import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from render import made_lines

_DOWNLOAD = re.compile(r"/v1beta/files/([a-z0-9-]+):download")
_JOB = re.compile(r"/v1beta/batches/([0-9]+)")
_CREATE = re.compile(r"/v1beta/models/[^/:]+:asyncBatchEmbedContent")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    per_shard: int
    dimensions: int

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/upload/v1beta/files":
            host = self.headers["Host"]
            self._reply({}, {"x-goog-upload-url": f"http://{host}/chunks", **_ACTIVE})
        elif path == "/chunks":
            final = "finalize" in self.headers.get("X-Goog-Upload-Command", "")
            file = {"file": {"name": "files/in1", "sizeBytes": str(len(body))}}
            self._reply(file if final else {}, _FINAL if final else _ACTIVE)
        elif _CREATE.fullmatch(path):
            shards = json.loads(body)["batch"]["displayName"]
            self._reply(_operation("BATCH_STATE_PENDING", shards))
        else:
            self._missing(path)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        download, job = _DOWNLOAD.fullmatch(path), _JOB.fullmatch(path)
        if download is not None:
            self._send(download.group(1))
        elif job is not None:
            self._reply(_operation("BATCH_STATE_SUCCEEDED", job.group(1)))
        else:
            self._missing(path)

    def _send(self, name: str) -> None:
        """Send so many prerendered shards as one answer, or one shard of so many requests.

        A shard of another size than the prerendered is made up now.
        """
        kind, _, count = name.partition("-")
        if kind == "shard" and int(count) != self.per_shard:
            self._send_made(int(count))
            return
        times = int(count) if kind == "whole" else 1
        with (self.folder / "shard.jsonl").open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._begin(size * times)
            for _ in range(times):
                sent = 0
                # The kernel copies from its page cache: the server takes next to no time.
                while sent < size:
                    sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, size - sent)

    def _send_made(self, count: int) -> None:
        """An answer of any size that is on no disk."""
        self._begin(sum(map(len, made_lines(count, self.dimensions))))
        for line in made_lines(count, self.dimensions):
            self.wfile.write(line)

    def _begin(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.flush()

    def _reply(self, body: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _missing(self, path: str) -> None:
        message = f"{self.command} {path} is not part of this server"
        self._reply({"error": {"code": 404, "message": message}}, status=404)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the parent reads standard output."""


_ACTIVE = {"x-goog-upload-status": "active"}
_FINAL = {"x-goog-upload-status": "final"}


def _operation(state: str, shards: str) -> dict[str, Any]:
    ended = state == "BATCH_STATE_SUCCEEDED"
    metadata: dict[str, Any] = {
        "name": f"batches/{shards}",
        "model": "models/gemini-embedding-2",
        "displayName": "benchmark",
        "state": state,
    }
    if ended:
        metadata["output"] = {"responsesFile": f"files/whole-{shards}"}
    return {"name": f"batches/{shards}", "done": ended, "metadata": metadata}


def main() -> None:
    _Handler.folder = Path(sys.argv[1])
    _Handler.per_shard, _Handler.dimensions = int(sys.argv[2]), int(sys.argv[3])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
