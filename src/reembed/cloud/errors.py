"""Errors of Google's libraries: the kinds, the transient ones, their codes and causes."""

from __future__ import annotations

from typing import Final

import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth

# https://cloud.google.com/storage/docs/retry-strategy: what may be sent again.
TRANSIENT_CODES: Final = frozenset({408, 429, 500, 502, 503, 504})
# Errors that a call of any of these libraries may raise.
FOREIGN: Final = (
    api.GoogleAPIError,
    auth.GoogleAuthError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)
_TRANSIENT_TYPES: Final = (
    ConnectionError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.TimeoutError,
    urllib3.exceptions.PoolError,
)


def may_pass(err: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(err, auth.TransportError):
        inner = err.args[0] if err.args else None
        return isinstance(inner, BaseException) and may_pass(inner)
    return isinstance(err, _TRANSIENT_TYPES) or code_of(err) in TRANSIENT_CODES


def code_of(err: BaseException) -> int:
    """Read the HTTP status of an error; 0 when it has none."""
    code = err.code if isinstance(err, api.GoogleAPICallError) else None
    return int(code) if code else 0


def cause_of(err: Exception) -> Exception:
    """Find the error that a retry policy gave up on; any other error is its own cause."""
    cause = err.cause if isinstance(err, api.RetryError) else None
    return cause if isinstance(cause, Exception) else err
