"""Stand-ins on one local port: OAuth tokens, Secret Manager, and Dataflow's jobs."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import google_crc32c

from reembed.providers.keys import forget_secrets

TOKEN = "a-token-of-the-stand-in"
_JOBS = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs(?:/([^/]+))?(/messages)?")
_SECRET = re.compile(r"/v1/(projects/.+):access")

Json = dict[str, Any]


@dataclass
class GoogleServer:
    """What is served, and what was asked.

    `secrets`: bytes by the full name of a version. `refusals`: statuses that answer the next calls
    for a secret. `on_job` is given each created job, before the answer or, with `meanwhile`, in a
    thread; what it returns becomes the job's state, and an exception JOB_STATE_FAILED.
    """

    url: str
    secrets: dict[str, bytes] = field(default_factory=dict)
    refusals: list[int] = field(default_factory=list)
    wrong_checksums: bool = False
    asked: list[str] = field(default_factory=list)
    bodies: list[Json] = field(default_factory=list)
    on_job: Callable[[Json], str] = lambda _: "JOB_STATE_DONE"
    jobs: dict[str, Json] = field(default_factory=dict)
    messages: dict[str, list[Json]] = field(default_factory=dict)
    unauthorised: list[str] = field(default_factory=list)
    meanwhile: bool = False

    def secret(self, name: str) -> tuple[int, Json]:
        if self.refusals:
            status = self.refusals.pop(0)
            return status, {"error": {"code": status, "message": "no", "status": "SOME_STATUS"}}
        if name not in self.secrets:
            return 404, {"error": {"code": 404, "message": "no such", "status": "NOT_FOUND"}}
        data = self.secrets[name]
        checksum = google_crc32c.value(data) + self.wrong_checksums
        packed = base64.b64encode(data).decode()
        return 200, {"name": name, "payload": {"data": packed, "dataCrc32c": str(checksum)}}

    def create(self, body: Json, project: str, location: str) -> Json:
        """Take a job as the service does: at once, and repeated under its client request id."""
        for known in self.jobs.values():
            if known.get("clientRequestId", object()) == body.get("clientRequestId"):
                return known
        name = f"2026-11-21_00_00_00-{len(self.jobs) + 1:019}"
        job: Json = {
            **{k: body[k] for k in ("name", "type", "clientRequestId") if k in body},
            "id": name,
            "projectId": project,
            "location": location,
            "currentState": "JOB_STATE_RUNNING",
            "createTime": "2026-11-21T00:00:00Z",
        }
        self.bodies.append(body)
        self.jobs[name], self.messages[name] = job, []
        if self.meanwhile:
            threading.Thread(target=self._work, args=(job, body), daemon=True).start()
            return dict(job)
        self._work(job, body)
        return job

    def _work(self, job: Json, body: Json) -> None:
        try:
            state = self.on_job(body)
        except Exception as err:  # whatever a worker raised is the job's failure
            self._say(job, f"Traceback of a worker: {type(err).__name__}: {err}")
            state = "JOB_STATE_FAILED"
        job["currentState"] = state

    def _say(self, job: Json, text: str) -> None:
        message = {"id": "1", "time": "2026-11-21T00:00:01Z", "messageText": text}
        self.messages[job["id"]].append({**message, "messageImportance": "JOB_MESSAGE_ERROR"})


def _handler(server: GoogleServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            server.asked.append(path)
            if secret := _SECRET.fullmatch(path):
                self._answer(*server.secret(secret[1]))
            elif (job := _JOBS.fullmatch(path)) and job[3] in server.jobs and self._known():
                found = {"jobMessages": server.messages[job[3]]} if job[4] else server.jobs[job[3]]
                self._answer(200, found)
            else:
                self._answer(404, {"error": {"code": 404, "message": path}})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            server.asked.append(path)
            if path == "/token":
                assert b"assertion=" in body
                given = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
                self._answer(200, given)
            elif (job := _JOBS.fullmatch(path)) and job[3] is None and self._known():
                self._answer(200, server.create(json.loads(body), job[1], job[2]))
            else:
                self._answer(404, {"error": {"code": 404, "message": path}})

        def _known(self) -> bool:
            """Only who has a token of ours; what came without is kept to be looked at."""
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if not known:
                server.unauthorised.append(self.path)
            return known

        def _answer(self, status: int, body: Json) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None: ...

    return Handler


@contextmanager
def serve_google() -> Iterator[GoogleServer]:
    """Serve until the block ends."""
    started = GoogleServer("")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(started))
    http.daemon_threads = True
    # By this name Beam's Dataflow client speaks HTTP to it.
    started.url = f"http://localhost:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        # What was read from another server may have had the same port.
        forget_secrets()
        yield started
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)
