"""Golden requests: what each method puts on the wire, to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from providers.scripted import KEY, ScriptedServer, answer
from reembed.errors import RefusedError, ServiceError
from reembed.providers.gemini.client import GeminiService

JOB = {"name": "batches/b1", "metadata": {"state": "BATCH_STATE_PENDING", "displayName": "d"}}
CREATE = "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"


def test_create_from_file_sends_this(server: ScriptedServer, service: GeminiService) -> None:
    server.then(answer(content=JOB))
    job = service.create_from_file("gemini-embedding-2", "run/1/0/ff", "files/in-1", 0)
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("POST", CREATE)
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["content-length"] == str(len(sent.body))
    assert "transfer-encoding" not in sent.headers
    assert sent.body == (
        b'{"batch":{"displayName":"run/1/0/ff","inputConfig":{"fileName":"files/in-1"}}}'
    )
    assert (job.name, job.state) == ("batches/b1", "PENDING")


def test_priority_is_text_and_may_be_negative(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(answer(content=JOB))
    service.create_from_file("models/gemini-embedding-2", "d", "files/f", -7)
    (sent,) = server.requests
    assert sent.path == CREATE
    assert sent.json()["batch"] == {
        "displayName": "d",
        "priority": "-7",
        "inputConfig": {"fileName": "files/f"},
    }


def test_inline_requests_are_joined_as_they_are(
    server: ScriptedServer, service: GeminiService
) -> None:
    # Spaces, key order and escapes of the caller must reach the service unchanged.
    rows = [b'{ "request":{"b":1,"a":"\\u00e9"},"metadata":{"key":"k0"}}', b'{"request":{}}']
    server.then(answer(content=JOB))
    service.create_inline("gemini-embedding-2", 'a "name"', rows, 3)
    (sent,) = server.requests
    assert sent.path == CREATE
    assert sent.body == (
        b'{"batch":{"displayName":"a \\"name\\"","priority":"3","inputConfig":'
        b'{"requests":{"requests":[' + rows[0] + b"," + rows[1] + b"]}}}}"
    )


def test_a_large_inline_body_arrives_whole(server: ScriptedServer, service: GeminiService) -> None:
    rows = [json.dumps({"request": {"t": "x" * 70_000}}).encode() for _ in range(20)]
    server.then(answer(content=JOB))
    service.create_inline("m", "d", rows, 0)
    sent = server.requests[0].json()["batch"]["inputConfig"]["requests"]["requests"]
    assert sent == [json.loads(row) for row in rows]


@pytest.mark.parametrize(
    ("method", "args", "expected"),
    [
        ("get", ("batches/b1",), ("GET", "/v1beta/batches/b1")),
        ("cancel", ("batches/b1",), ("POST", "/v1beta/batches/b1:cancel")),
        ("delete", ("batches/b1",), ("DELETE", "/v1beta/batches/b1")),
        ("delete_file", ("files/f-1",), ("DELETE", "/v1beta/files/f-1")),
    ],
)
def test_calls_without_a_body(
    server: ScriptedServer,
    service: GeminiService,
    method: str,
    args: tuple[str],
    expected: tuple[str, str],
) -> None:
    server.then(answer(content=JOB if method == "get" else {}))
    getattr(service, method)(*args)
    (sent,) = server.requests
    assert (sent.method, sent.path) == expected
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.body == b""
    assert sent.headers["user-agent"].startswith("reembed/")


def test_lists_ask_for_all_pages(server: ScriptedServer, service: GeminiService) -> None:
    def operation(name: str, time: str) -> dict[str, object]:
        return {"name": name, "metadata": {"createTime": time, "output": {"inlinedResponses": {}}}}

    old, new = (
        operation("batches/old", "2026-01-01T00:00:00Z"),
        operation("batches/new", "2026-01-01T00:00:00.5Z"),
    )
    server.then(
        answer(content={"operations": [old], "nextPageToken": "a&b"}),
        # A job that slid to the next page while the list was read comes once.
        answer(content={"operations": [old, new]}),
    )
    jobs = list(service.list_jobs())
    assert [job.name for job in jobs] == ["batches/new", "batches/old"]
    assert [job.inline_responses for job in jobs] == [None, None]
    assert [sent.path for sent in server.requests] == [
        "/v1beta/batches?pageSize=100",
        "/v1beta/batches?pageSize=100&pageToken=a%26b",
    ]


def test_files_are_listed(server: ScriptedServer, service: GeminiService) -> None:
    file = {"name": "files/f", "sizeBytes": "12", "mimeType": "a/b", "expirationTime": "t"}
    server.then(answer(content={"files": [file]}), answer(content={}))
    (found,) = service.list_files()
    assert (found.name, found.size_bytes, found.mime_type, found.expires) == (
        "files/f",
        12,
        "a/b",
        "t",
    )
    assert list(service.list_files()) == []


def test_a_page_token_that_loops_ends(server: ScriptedServer, service: GeminiService) -> None:
    server.then(*[answer(content={"nextPageToken": "same"}) for _ in range(5)])
    with pytest.raises(ServiceError, match="'same' loops"):
        list(service.list_jobs())
    assert len(server.requests) == 2


@pytest.mark.parametrize("page", [{"operations": [1]}, {"operations": {}}, {"operations": "x"}])
def test_a_page_that_cannot_be_read_is_not_passed_over(
    server: ScriptedServer, service: GeminiService, page: dict[str, object]
) -> None:
    server.then(answer(content=page))
    with pytest.raises(ServiceError, match="not a list of objects"):
        list(service.list_jobs())


def test_embed_sends_the_request_as_it_is(server: ScriptedServer, service: GeminiService) -> None:
    body = b'{ "content":{"parts":[{"text":"x"}]} }'
    server.then(answer(content={"embedding": {"values": [1, 0.5]}}))
    assert service.embed("gemini-embedding-2", body) == [1.0, 0.5]
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("POST", "/v1beta/models/gemini-embedding-2:embedContent")
    assert sent.body == body


def test_model_asks_the_service(server: ScriptedServer, service: GeminiService) -> None:
    server.then(
        answer(
            content={
                "name": "models/gemini-embedding-2",
                "inputTokenLimit": 8192,
                "supportedGenerationMethods": ["embedContent", "asyncBatchEmbedContent"],
            }
        )
    )
    info = service.model("gemini-embedding-2")
    assert (info.name, info.input_token_limit) == ("models/gemini-embedding-2", 8192)
    assert info.methods == ("embedContent", "asyncBatchEmbedContent")
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("GET", "/v1beta/models/gemini-embedding-2")
    assert sent.headers["x-goog-api-key"] == KEY


def test_count_tokens_asks_the_service(server: ScriptedServer, service: GeminiService) -> None:
    server.then(answer(content={"totalTokens": 7}), answer(content={}))
    assert service.count_tokens("gemini-embedding-2", "seven") == 7
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("POST", "/v1beta/models/gemini-embedding-2:countTokens")
    assert sent.json()["contents"][0]["parts"] == [{"text": "seven"}]
    with pytest.raises(ServiceError, match="holds no totalTokens"):
        service.count_tokens("gemini-embedding-2", "seven")


def test_a_path_in_the_base_url_is_kept(server: ScriptedServer) -> None:
    server.then(answer(content=JOB))
    with GeminiService(f"{server.url}/gemini/", "v1", KEY, 5.0) as service:
        service.get("batches/b1")
    assert server.requests[0].path == "/gemini/v1/batches/b1"


@pytest.mark.parametrize("name", ["batches/../files/x", "batches/a b", "b1", "batches/", ""])
def test_names_that_lead_elsewhere_are_not_sent(
    server: ScriptedServer, service: GeminiService, name: str
) -> None:
    with pytest.raises(ServiceError, match="is no job name"):
        service.get(name)
    with pytest.raises(ServiceError, match="is no file name"):
        service.delete_file(name.replace("batches", "files") or "files/")
    assert server.requests == []


@pytest.mark.parametrize("name", ["models/a/b", "../m", "", "m?x=1", "m:predict"])
def test_model_names_are_checked(server: ScriptedServer, service: GeminiService, name: str) -> None:
    with pytest.raises(RefusedError, match="is no model name"):
        service.create_from_file(name, "d", "files/f", 0)
    assert server.requests == []


def test_an_upload_sends_this(
    server: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"key":"a"}\n')
    file = {"name": "files/in-1", "sizeBytes": "12"}
    server.then(
        answer(headers={"x-goog-upload-url": f"{server.url}/upload/session?id=1"}),
        answer(content={"file": file}, headers={"x-goog-upload-status": "final"}),
    )
    assert service.upload(source, "files/in-1", "application/jsonl").size_bytes == 12
    start, chunk = server.requests
    assert (start.method, start.path) == ("POST", "/upload/v1beta/files")
    wanted = {
        "x-goog-api-key": KEY,
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": "12",
        "x-goog-upload-header-content-type": "application/jsonl",
        "content-type": "application/json",
    }
    assert wanted.items() <= start.headers.items()
    assert start.body == b'{"file":{"name":"files/in-1","mimeType":"application/jsonl"}}'
    assert (chunk.method, chunk.path) == ("POST", "/upload/session?id=1")
    assert chunk.headers["x-goog-upload-command"] == "upload, finalize"
    assert chunk.headers["x-goog-upload-offset"] == "0"
    assert chunk.body == source.read_bytes()
    assert "x-goog-api-key" not in chunk.headers
