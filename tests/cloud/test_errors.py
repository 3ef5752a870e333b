"""Which errors of Google's libraries may pass, and what stands behind them."""

from __future__ import annotations

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from reembed.cloud.errors import cause_of, code_of, may_pass


@pytest.mark.parametrize(
    ("err", "passes"),
    [
        (api.ServiceUnavailable("x"), True),
        (api.TooManyRequests("x"), True),
        (api.NotFound("x"), False),
        (ConnectionResetError(), True),
        (requests.Timeout(), True),
        (auth.TransportError(requests.ConnectionError()), True),
        (auth.TransportError("no such key"), False),
        (auth.RefreshError("revoked"), False),
        (ValueError(), False),
    ],
)
def test_what_may_succeed_later(err: Exception, passes: bool) -> None:
    assert may_pass(err) is passes


def test_the_status_of_an_error() -> None:
    assert code_of(api.NotFound("x")) == 404
    assert code_of(ValueError()) == 0


def test_the_error_that_retries_gave_up_on() -> None:
    inner = api.ServiceUnavailable("x")
    assert cause_of(api.RetryError("gave up", inner)) is inner
    assert cause_of(inner) is inner
