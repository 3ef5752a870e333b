"""A transport for `requests` that answers from a script and keeps what it was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter


@dataclass(frozen=True)
class Sent:
    """A request as it went out; `json` is its body where that is JSON, else empty."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body.startswith(b"{") else {}


@dataclass
class Answer:
    """What is answered to one request, or the error that is raised instead."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


class ScriptedHttp(HTTPAdapter):
    """Gives its answers in order; a request beyond the last one fails the test."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.answers, self.sent = list(answers), list[Sent]()

    def session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", self)
        return session

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(str(request.url))
        body: Any = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        raw = body.encode() if isinstance(body, str) else bytes(body)
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        self.sent.append(Sent(str(request.method), parts.path, parts.query, headers, raw))
        assert self.answers, f"nothing is scripted for {request.method} {request.url}"
        answer = self.answers.pop(0)
        if answer.error is not None:
            raise answer.error
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update({"Content-Type": "application/json", **answer.headers})
        response._content = json.dumps(answer.body).encode()
        response.request, response.url = request, str(request.url)
        return response


def refusal(status: int, reason: str, message: str = "because") -> Answer:
    """An error as the service words it."""
    errors = [{"reason": reason, "message": message, "domain": "global"}]
    return Answer({"error": {"code": status, "message": message, "errors": errors}}, status)
