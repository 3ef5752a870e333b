"""Credentials and pooled connections for Google's libraries; light until they are asked for."""

from __future__ import annotations

from typing import Any, Final

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
    """Find the credentials of this machine or its user.

    Raises:
        ReembedError: of the kind `error`: there are none; the message says what to set.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, _ = google.auth.default(scopes=[scope])
    except GoogleAuthError as err:
        raise error(f"no Google credentials: {SIGN_IN} ({err})") from err
    return credentials
