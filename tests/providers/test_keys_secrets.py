"""The key as a secret reference: read from a server by whoever needs it, and never carried."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from reembed.config.schema import ServiceConfig
from reembed.errors import SecretError, UsageError
from reembed.providers.gemini.client import open_service
from reembed.providers.keys import ENDPOINT_VARIABLE, Secret, configured_key, read_secret
from support.google import GoogleServer, serve_google

KEY = "some-secret-AIzaSy0123456789abcdefghijklmnop"
NAME = "projects/demo/secrets/gemini/versions/7"


@pytest.fixture
def google() -> Iterator[GoogleServer]:
    with serve_google() as server:
        server.secrets[NAME] = KEY.encode()
        yield server


def environ_of(google: GoogleServer, **more: str) -> dict[str, str]:
    return {ENDPOINT_VARIABLE: google.url, **more}


def test_a_secret_is_read_once_in_a_process(google: GoogleServer) -> None:
    google.secrets[NAME] = KEY.encode() + b"\n"
    assert read_secret(NAME, environ_of(google)) == KEY
    assert read_secret(NAME, environ_of(google)) == KEY
    assert google.asked == [f"/v1/{NAME}:access"]


def test_the_secret_stands_above_the_environment(google: GoogleServer) -> None:
    here = environ_of(google, GEMINI_API_KEY="another")
    local = "http://127.0.0.1:9"
    assert configured_key(ServiceConfig(api_key_secret=NAME), here) == KEY
    assert configured_key(ServiceConfig(api_key_secret=NAME, base_url=local), here) == KEY
    assert configured_key(ServiceConfig(base_url=local), here) == "another"
    assert configured_key(ServiceConfig(base_url=local), {}) == "local"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "gcloud secrets versions add"),
        (403, "roles/secretmanager.secretAccessor"),
        (400, "disabled or destroyed"),
    ],
)
def test_a_refusal_says_what_to_do(google: GoogleServer, status: int, words: str) -> None:
    google.refusals = [status] * 3
    with pytest.raises(UsageError, match=words) as caught:
        read_secret(NAME, environ_of(google))
    assert NAME in str(caught.value)
    assert len(google.asked) == 1, "what is refused is not asked again"


def test_a_failure_that_passes_is_waited_for(google: GoogleServer) -> None:
    google.refusals = [503, 429]
    assert read_secret(NAME, environ_of(google)) == KEY
    assert len(google.asked) == 3


def test_a_service_that_does_not_answer_is_no_users_fault(google: GoogleServer) -> None:
    google.refusals = [503] * 20
    with pytest.raises(SecretError, match="does not answer"):
        read_secret(NAME, environ_of(google), patience=0.6)
    with pytest.raises(SecretError, match="does not answer"):
        read_secret(NAME, {ENDPOINT_VARIABLE: "http://127.0.0.1:9"}, patience=0.2)


def test_a_damaged_answer_is_not_used(google: GoogleServer) -> None:
    google.wrong_checksums = True
    with pytest.raises(SecretError, match="damaged"):
        read_secret(NAME, environ_of(google))


@pytest.mark.parametrize("content", [b"", b"two words", "clé".encode(), b"\xff\xfe"])
def test_a_secret_that_is_no_key_is_not_shown(google: GoogleServer, content: bytes) -> None:
    google.secrets[NAME] = content
    with pytest.raises(UsageError, match="api_key_secret") as caught:
        configured_key(ServiceConfig(api_key_secret=NAME), environ_of(google))
    assert "words" not in str(caught.value)


def test_a_pickle_carries_the_reference_alone(
    google: GoogleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServiceConfig(base_url="http://127.0.0.1:9", api_key_secret=NAME)
    with open_service(settings, KEY) as service:
        travelling = [pickle.dumps(service), pickle.dumps(Secret(KEY, secret=NAME))]
    assert all(KEY.encode() not in each and NAME.encode() in each for each in travelling)
    monkeypatch.setenv(ENDPOINT_VARIABLE, google.url)
    monkeypatch.setenv("GEMINI_API_KEY", "another")
    assert pickle.loads(travelling[1]).reveal() == KEY
