"""Credentials of this machine, and clients that keep enough connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from requests.adapters import HTTPAdapter

from reembed.cloud.credentials import SIGN_IN, find_credentials, pooled
from reembed.errors import StorageError
from support.servers import environment_set


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[None]:
    """An environment in which nobody has signed in."""
    missing = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json"),
        "CLOUDSDK_CONFIG": str(tmp_path),
        "NO_GCE_CHECK": "true",
    }
    with environment_set(missing):
        yield


@pytest.mark.usefixtures("nobody")
def test_without_credentials_the_error_says_what_to_set() -> None:
    with pytest.raises(StorageError, match="no Google credentials") as caught:
        find_credentials("https://www.googleapis.com/auth/cloud-platform", StorageError)
    assert SIGN_IN in str(caught.value)


def test_a_client_keeps_as_many_connections_as_asked_for() -> None:
    with requests.Session() as session:
        client = pooled(SimpleNamespace(_http=session), 40)
        assert client._http is session
        assert session.get_adapter("https://x")._pool_maxsize == 40


def test_an_adapter_that_was_handed_in_stays() -> None:
    class Own(HTTPAdapter):
        pass

    with requests.Session() as session:
        session.mount("https://", own := Own())
        pooled(SimpleNamespace(_http=session), 40)
        assert session.get_adapter("https://x") is own
