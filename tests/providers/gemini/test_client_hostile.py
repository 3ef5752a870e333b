"""A service that names other places: no key goes there, and nothing follows where it must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.scripted import KEY, ScriptedServer, answer
from reembed.errors import RefusedError, ServiceError
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.operations import parse_operation

FILE = {"file": {"name": "files/in", "sizeBytes": "5"}}
DONE = {"x-goog-upload-status": "final"}


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    """Another origin: the same machine, another port."""
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"12345")
    return path


def secrets_in(server: ScriptedServer) -> list[str]:
    """Requests that carry the key anywhere."""
    return [r.path for r in server.requests if KEY in f"{r.path}{r.headers}{r.body!r}"]


def test_the_key_is_not_sent_to_an_upload_address_of_another_origin(
    server: ScriptedServer, other: ScriptedServer, service: GeminiService, source: Path
) -> None:
    server.then(answer(headers={"x-goog-upload-url": f"{other.url}/session?id=1"}))
    other.then(answer(content=FILE, headers=DONE))
    assert service.upload(source, "files/in", "application/jsonl").size_bytes == 5
    assert [r.path for r in other.requests] == ["/session?id=1"]
    assert secrets_in(other) == []
    assert secrets_in(server) == ["/upload/v1beta/files"]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/upload",
        "//evil.example/upload",
        "http://169.254.169.254/latest",
        "https://generativelanguage.googleapis.com@evil.example/",
        "https://evil.example\\@storage.googleapis.com/",
        "https://storage.googleapis.com.evil.example/",
        "file:///etc/passwd",
        "gs://bucket/x",
        "javascript:0",
    ],
)
def test_an_upload_address_elsewhere_gets_no_byte(
    server: ScriptedServer, service: GeminiService, source: Path, address: str
) -> None:
    server.then(answer(headers={"x-goog-upload-url": address}))
    with pytest.raises(RefusedError, match=r"nothing was sent there|address that is none"):
        service.upload(source, "files/in", "application/jsonl")
    assert len(server.requests) == 1


def test_an_upload_is_not_redirected(
    server: ScriptedServer, other: ScriptedServer, service: GeminiService, source: Path
) -> None:
    server.then(answer(307, headers={"location": f"{other.url}/start"}))
    with pytest.raises(ServiceError, match="HTTP 307"):
        service.upload(source, "files/in", "application/jsonl")
    assert other.requests == []


def test_a_create_is_not_redirected(
    server: ScriptedServer, other: ScriptedServer, service: GeminiService
) -> None:
    for status in (301, 302, 307, 308):
        server.then(answer(status, headers={"location": f"{other.url}/create"}))
        with pytest.raises(ServiceError):
            service.create_from_file("m", "d", "files/in", 0)
    assert other.requests == []


def test_a_download_goes_to_another_origin_without_the_key(
    server: ScriptedServer, other: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    job = parse_operation({"name": "batches/b", "response": {"responsesFile": "files/out"}})
    server.then(answer(302, headers={"location": f"{other.url}/bytes"}))
    other.then(answer(200, b'{"key":"1"}\n'))
    service.fetch(job, tmp_path / "answer")
    assert secrets_in(server) == ["/v1beta/files/out:download?alt=media"]
    assert secrets_in(other) == []


def test_a_redirect_back_takes_the_key_to_the_service_only(
    server: ScriptedServer, other: ScriptedServer, service: GeminiService
) -> None:
    server.then(answer(302, headers={"location": f"{other.url}/there"}))
    other.then(answer(302, headers={"location": f"{server.url}/back"}))
    server.then(answer(content={"name": "batches/b"}))
    service.get("batches/b")
    assert secrets_in(server) == ["/v1beta/batches/b", "/back"]
    assert secrets_in(other) == []


@pytest.mark.parametrize(
    "name",
    [
        "https://evil.example/x",
        "files/../batches/b",
        "files/a?key=1",
        "files/a#b",
        "files/a%2f..",
        "../files/a",
        "//evil.example/files/a",
        "files/a\r\nx: y",
    ],
)
def test_a_result_elsewhere_is_not_asked_for(
    server: ScriptedServer, service: GeminiService, tmp_path: Path, name: str
) -> None:
    job = parse_operation({"name": "batches/b", "response": {"responsesFile": name}})
    with pytest.raises(ServiceError, match="is no file name"):
        service.fetch(job, tmp_path / "answer")
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_display_name_reaches_no_terminal_as_commands() -> None:
    job = parse_operation(
        {"name": "batches/b", "metadata": {"displayName": "run/\x1b[2J\x07a\nb/0/f"}}
    )
    assert job.display_name == "run/ [2J a b/0/f"


def test_a_key_that_an_answer_repeats_is_covered_in_the_file(
    server: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    line = b'{"key":"1","error":{"code":3,"message":"bad key %b, %b"}}\n' % (
        KEY.encode(),
        KEY.encode(),
    )
    job = parse_operation({"name": "batches/b", "response": {"responsesFile": "files/out"}})
    server.then(answer(200, line))
    path = tmp_path / "answer"
    assert service.fetch(job, path) == len(line)
    assert path.read_bytes() == line.replace(KEY.encode(), b"*" * len(KEY))


def test_an_empty_result_is_an_empty_file(
    server: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    job = parse_operation({"name": "batches/b", "response": {"responsesFile": "files/out"}})
    server.then(answer(200, b""))
    assert service.fetch(job, tmp_path / "answer") == 0
    assert (tmp_path / "answer").read_bytes() == b""
