"""Credentials for Google's libraries, found or missed quickly."""

from __future__ import annotations

from typing import Any, Final

from reembed.errors import ReembedError

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
