"""Redirects, trusted hosts, threads and errors of the single exchange."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from providers.scripted import KEY, Connection, ScriptedServer, answer
from reembed.errors import (
    AccessDeniedError,
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
    TransientError,
)
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.http import Call, GeminiHttp, trusted_url

GOOGLE = "https://generativelanguage.googleapis.com"
LOCAL = "http://127.0.0.1:8901"


@pytest.mark.parametrize(
    ("url", "base", "trusted"),
    [
        (f"{GOOGLE}/upload?id=1", GOOGLE, True),
        ("https://storage.googleapis.com/x", GOOGLE, True),
        ("https://storage.googleapis.com/x", LOCAL, True),
        ("http://generativelanguage.googleapis.com/x", GOOGLE, False),
        ("http://127.0.0.1:9999/x", LOCAL, True),
        ("http://localhost:9999/x", LOCAL, True),
        ("http://[::1]:9999/x", LOCAL, True),
        ("http://10.0.0.1:8901/x", LOCAL, False),
        ("http://127.0.0.1/x", GOOGLE, False),
        ("https://googleapis.com.example/x", GOOGLE, False),
        ("https://evilgoogleapis.com/x", GOOGLE, False),
        ("https://user@storage.googleapis.com/x", GOOGLE, False),
        ("ftp://storage.googleapis.com/x", GOOGLE, False),
        ("http://127.0.0.1:bad/x", LOCAL, False),
        ("", LOCAL, False),
    ],
)
def test_where_bytes_may_go(url: str, base: str, trusted: bool) -> None:
    if trusted:
        assert trusted_url(url, base) == url
        return
    with pytest.raises(RefusedError, match="named an address"):
        trusted_url(url, base)


@pytest.fixture
def other() -> ScriptedServer:
    return ScriptedServer()


def test_the_key_follows_no_redirect_to_another_origin(
    server: ScriptedServer, other: ScriptedServer, service: GeminiService
) -> None:
    server.then(answer(302, headers={"location": f"{other.url}/moved"}))
    other.then(answer(content={"name": "batches/b"}))
    assert service.get("batches/b").name == "batches/b"
    other.close()
    assert server.requests[0].headers["x-goog-api-key"] == KEY
    assert "x-goog-api-key" not in other.requests[0].headers


def test_the_key_follows_a_redirect_within_the_service(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(
        answer(307, headers={"location": "/elsewhere"}), answer(content={"name": "batches/b"})
    )
    service.get("batches/b")
    assert [(r.path, r.headers["x-goog-api-key"]) for r in server.requests] == [
        ("/v1beta/batches/b", KEY),
        ("/elsewhere", KEY),
    ]


def test_a_redirect_to_a_foreign_host_is_not_followed(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(answer(302, headers={"location": "https://evil.example/"}))
    with pytest.raises(RefusedError, match=r"evil\.example.*nothing was sent there"):
        service.get("batches/b")


def test_redirects_in_a_circle_end(server: ScriptedServer, service: GeminiService) -> None:
    server.then(*[answer(302, headers={"location": "/round"})] * 9)
    with pytest.raises(RefusedError, match="redirected too often"):
        service.get("batches/b")
    assert len(server.requests) == 4


def test_only_reads_follow_redirects(server: ScriptedServer, service: GeminiService) -> None:
    server.then(answer(302, headers={"location": "/x"}), answer(302, headers={"location": "/x"}))
    with pytest.raises(RefusedError, match="HTTP 302"):
        service.cancel("batches/b")
    with pytest.raises(ServiceError):
        service.model("m")
    assert len(server.requests) == 2


def test_a_proxy_page_is_shown_in_short(server: ScriptedServer, service: GeminiService) -> None:
    server.then(answer(400, b"<html>\n <b>bad\x07</b>" + b"x" * 10_000))
    with pytest.raises(RefusedError) as caught:
        service.get("batches/b")
    assert str(caught.value).startswith("get batches/b: HTTP 400: <html> <b>bad </b>xxx")
    assert len(str(caught.value)) < 560


def test_403_for_a_file_that_may_not_exist_means_gone(
    server: ScriptedServer, service: GeminiService
) -> None:
    message = "You do not have permission to access the File f or it may not exist."
    server.then(*[answer(403, {"error": {"code": 403, "message": message}})] * 2)
    with pytest.raises(RemoteNotFoundError):
        service.delete_file("files/f")
    with pytest.raises(RemoteNotFoundError):
        service.create_from_file("m", "d", "files/f", 0)


def test_a_403_about_the_key_is_not_taken_for_a_missing_file(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(answer(403, {"error": {"message": "blocked", "status": "PERMISSION_DENIED"}}))
    with pytest.raises(AccessDeniedError, match="PERMISSION_DENIED: blocked"):
        service.delete_file("files/f")


@pytest.mark.parametrize("body", [b'{"error":5}', b'[{"error":{}}]', b'{"error":{"message":[]}}'])
def test_odd_error_bodies_are_told(
    server: ScriptedServer, service: GeminiService, body: bytes
) -> None:
    server.then(answer(404, body))
    with pytest.raises(RemoteNotFoundError, match="get batches/b: HTTP 404"):
        service.get("batches/b")


def test_an_answer_that_is_not_json_is_named(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(answer(200, b"<html>hello"))
    with pytest.raises(ServiceError, match="get batches/b: the answer is not JSON: '<html>hello'"):
        service.get("batches/b")


def test_one_service_serves_many_threads(server: ScriptedServer, service: GeminiService) -> None:
    def act(connection: Connection) -> None:
        name = connection.read().path.removeprefix("/v1beta/")
        connection.reply(200, b'{"name":"%b"}' % name.encode())

    names = [f"batches/b{n}" for n in range(60)]
    server.then(*[act] * len(names))
    with ThreadPoolExecutor(8) as pool:
        assert [job.name for job in pool.map(service.get, names)] == names


def test_a_closed_wire_opens_again(server: ScriptedServer, service: GeminiService) -> None:
    server.then(*[answer(content={"name": "batches/b", "totalTokens": 1})] * 4)
    service.get("batches/b")
    assert service.count_tokens("m", "x") == 1
    service.close()
    assert service.count_tokens("m", "x") == 1
    assert service.get("batches/b").name == "batches/b"


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
    server: ScriptedServer,
    service: GeminiService,
    closed_port: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", closed_port)
    server.then(answer(content={"name": "batches/b"}))
    assert service.get("batches/b").name == "batches/b"


def test_a_forked_process_connects_for_itself(server: ScriptedServer, wire: GeminiHttp) -> None:
    url = wire.endpoint.url("batches")
    before = wire.client.manager(url)
    assert wire.client.manager(url) is before
    child = os.fork()
    if child == 0:
        os._exit(0 if wire.client.manager(url) is not before else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_read_that_is_cut_says_what_it_was(server: ScriptedServer, wire: GeminiHttp) -> None:
    server.then(lambda connection: False)
    with pytest.raises(TransientError, match="listing: connection failed: "):
        wire.read(Call("listing", "GET", wire.endpoint.url("batches")))
