"""The key: where it is taken from, and that no text, log, error or pickle shows it."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.scripted import KEY, Act, ScriptedServer, answer, cut_after_request
from reembed.config.schema import ServiceConfig
from reembed.errors import ServiceError, UsageError
from reembed.providers.gemini.client import GeminiService, open_service
from reembed.providers.keys import (
    DEFAULT_BASE_URL,
    Secret,
    is_loopback,
    resolve_api_key,
    resolve_base_url,
)


def test_google_api_key_comes_first() -> None:
    both = {"GOOGLE_API_KEY": " first\n", "GEMINI_API_KEY": "second"}
    assert resolve_api_key(both, required=True) == "first"
    assert resolve_api_key({**both, "GOOGLE_API_KEY": "  "}, required=True) == "second"


def test_a_missing_key_says_what_to_set() -> None:
    with pytest.raises(UsageError, match="set GOOGLE_API_KEY or GEMINI_API_KEY"):
        resolve_api_key({}, required=True)
    assert resolve_api_key({}, required=False) == "local"


@pytest.mark.parametrize("bad", ["two words", "clé", "a\nb", "a\x00b"])
def test_a_key_that_cannot_be_one_is_not_shown(bad: str) -> None:
    with pytest.raises(UsageError, match="GEMINI_API_KEY holds characters") as caught:
        resolve_api_key({"GEMINI_API_KEY": bad}, required=True)
    assert bad not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        Secret(bad)
    assert bad not in str(caught.value)


def test_the_base_url_in_order() -> None:
    environ = {"GOOGLE_GEMINI_BASE_URL": "http://proxy:1/"}
    assert resolve_base_url("http://conf:2//", environ) == "http://conf:2"
    assert resolve_base_url(None, environ) == "http://proxy:1"
    assert resolve_base_url(None, {}) == DEFAULT_BASE_URL


@pytest.mark.parametrize(
    "url", ["ftp://x", "proxy:1", "http://", "http://h:99999", "http://u:p@h", "http://h?a=b"]
)
def test_a_base_url_that_is_none_names_its_source(url: str) -> None:
    with pytest.raises(UsageError, match="GOOGLE_GEMINI_BASE_URL"):
        resolve_base_url(None, {"GOOGLE_GEMINI_BASE_URL": url})
    with pytest.raises(UsageError, match=r"service\.base_url"):
        resolve_base_url(url, {})


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8901", True),
        ("http://localhost", True),
        ("http://[::1]:80", True),
        ("http://127.9.9.9", True),
        ("http://10.0.0.1", False),
        ("https://localhost.example.com", False),
        (DEFAULT_BASE_URL, False),
    ],
)
def test_what_is_this_machine(url: str, local: bool) -> None:
    assert is_loopback(url) is local


def test_no_repr_shows_the_key() -> None:
    secret = Secret(KEY)
    service = GeminiService("https://example.org", "v1beta", secret, 1.0)
    for text in (repr(secret), str(secret), f"{secret}", f"{service!r}", repr(vars(service))):
        assert KEY not in text
    assert repr(secret) == "***"
    assert secret.reveal() == KEY


def test_a_pickle_holds_no_key_and_reads_its_environment(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    config = ServiceConfig(base_url=server.url)
    with open_service(config, KEY, {}) as service:
        server.then(answer(content={}), answer(content={}), answer(content={}))
        service.cancel("batches/b")
        packed = pickle.dumps(service)
    assert KEY.encode() not in packed
    monkeypatch.setenv("GOOGLE_API_KEY", "of-the-worker")
    with pickle.loads(packed) as copy:
        copy.cancel("batches/b")
    monkeypatch.delenv("GOOGLE_API_KEY")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    with pickle.loads(packed) as copy:
        copy.cancel("batches/b")
    assert [r.headers["x-goog-api-key"] for r in server.requests] == [KEY, "of-the-worker", "local"]


def test_a_worker_without_a_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pickle.dumps(open_service(ServiceConfig(), KEY, {}))
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="of every worker"):
        pickle.loads(packed).get("batches/b")


def test_open_service_takes_the_base_url_of_the_environment(server: ScriptedServer) -> None:
    server.then(answer(content={}))
    environ = {"GOOGLE_GEMINI_BASE_URL": server.url}
    with open_service(ServiceConfig(), KEY, environ) as service:
        service.cancel("batches/b")
    assert len(server.requests) == 1


def echo(status: int) -> Act:
    """An answer that gives the key back in every place that becomes a message."""
    error = {"message": f"bad key {KEY}", "status": KEY, "code": status}
    return answer(status, {"error": error})


def test_no_error_or_log_shows_the_key(
    server: ScriptedServer, service: GeminiService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    calls = [
        lambda: service.get("batches/b"),
        lambda: service.create_from_file("m", "d", "files/f", 0),
        lambda: service.model("m"),
        lambda: service.count_tokens("m", "text"),
        lambda: service.embed("m", b"{}"),
        lambda: list(service.list_files()),
    ]
    shown = []
    for call in calls:
        for act in (echo(400), echo(503), answer(200, f"<{KEY}>".encode()), cut_after_request):
            server.then(*[act] * 4)
            with pytest.raises(ServiceError) as caught:
                call()
            shown += traceback.format_exception(caught.value)
            server.script.clear()
    assert "***" in "".join(shown)
    assert KEY not in "".join(shown)
    assert KEY not in caplog.text
    assert "HTTP Request" in caplog.text


def test_the_key_is_masked_percent_encoded_too() -> None:
    secret = Secret("a/b+c=d%20")
    assert secret.scrub("x?key=a%2Fb%2Bc%3Dd%2520&y, a/b+c=d%20") == "x?key=***&y, ***"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8), st.text())
def test_scrubbed_text_never_holds_the_key(key: str, around: str) -> None:
    if "*" not in key:
        assert key not in Secret(key).scrub(f"{around}{key}{around}{key}")
