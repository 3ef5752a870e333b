"""Credentials, connections and transient errors shared by Google's client libraries."""

from __future__ import annotations

from typing import Any, Final

import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from reembed.errors import ReembedError


def pooled(client: Any, connections: int) -> Any:
    """Let a client keep so many connections; the same client is returned.

    The library keeps ten: more threads than that open and drop connections.
    """
    from requests.adapters import HTTPAdapter

    for scheme in ("https://", "http://"):
        # A session that was handed in may have an adapter of its own.
        if type(client._http.get_adapter(scheme)) is HTTPAdapter:
            adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections)
            client._http.mount(scheme, adapter)
    return client


SIGN_IN: Final = (
    "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run "
    "`gcloud auth application-default login`"
)
SIGN_IN_AGAIN: Final = "run `gcloud auth application-default login`, or renew the key file"


def find_credentials(scope: str, error: type[ReembedError]) -> Any:
    """The credentials of this machine or its user.

    Raises:
        ReembedError: of the kind `error`: there are none; says what to set.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, _ = google.auth.default(scopes=[scope])
    except GoogleAuthError as err:
        raise error(f"no Google credentials: {SIGN_IN} ({err})") from err
    return credentials


# https://cloud.google.com/storage/docs/retry-strategy: what may be sent again.
TRANSIENT_CODES: Final = frozenset({408, 429, 500, 502, 503, 504})
# What a call may raise, whichever service it is for.
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
    """The HTTP status of an error, 0 when it has none."""
    code = err.code if isinstance(err, api.GoogleAPICallError) else None
    return int(code) if code else 0


def cause_of(err: Exception) -> Exception:
    """What a policy of retries gave up on; any other error is its own cause."""
    cause = err.cause if isinstance(err, api.RetryError) else None
    return cause if isinstance(cause, Exception) else err
