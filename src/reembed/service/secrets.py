"""The API key from Secret Manager: read by each process that needs it, kept in its memory only."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, Final

from reembed.cloud.credentials import SIGN_IN
from reembed.config.secret_names import location_of
from reembed.errors import SecretError, UsageError

# A stand-in's address: asked without credentials, so that none go out in the clear.
ENDPOINT_VARIABLE: Final = "REEMBED_SECRET_MANAGER_ENDPOINT"
# Seconds for one call, and for all tries of it.
_TIMEOUT: Final = 20.0
_PATIENCE: Final = 60.0
_read: dict[tuple[str, str], str] = {}
_lock = threading.Lock()


def read_secret(
    name: str, environ: Mapping[str, str] = os.environ, patience: float = _PATIENCE
) -> str:
    """The text of a version of a secret; asked for once in each process.

    Args:
        name: ``projects/P/secrets/S/versions/V``.
        environ: where a stand-in's address may be.
        patience: seconds in which a failing service is asked again.

    Raises:
        UsageError: it is not there, switched off, no text, or may not be read.
        SecretError: the service does not answer.
    """
    endpoint = environ.get(ENDPOINT_VARIABLE, "").strip().rstrip("/")
    with _lock:
        if (name, endpoint) not in _read:
            _read[name, endpoint] = _fetch(name, endpoint, patience)
        return _read[name, endpoint]


def forget_secrets() -> None:
    """Ask for each secret again when it is next needed."""
    with _lock:
        _read.clear()


def _fetch(name: str, endpoint: str, patience: float) -> str:
    # Imported here: most runs need none of it.
    from google.api_core import exceptions as api
    from google.api_core.retry import Retry
    from google.auth import exceptions as auth

    def may_repeat(err: BaseException) -> bool:
        return _is_transient(err, api, auth)

    retry = Retry(predicate=may_repeat, initial=0.5, maximum=8.0, timeout=patience)
    try:
        client = _client(name, endpoint)
        answer = client.access_secret_version(request={"name": name}, retry=retry, timeout=_TIMEOUT)
    except auth.DefaultCredentialsError as err:
        raise UsageError(f"{name}: no Google credentials to read it with: {SIGN_IN}") from err
    except (api.GoogleAPIError, auth.GoogleAuthError, OSError) as err:
        raise _translated(name, err) from err
    return _text(name, answer.payload)


def _client(name: str, endpoint: str) -> Any:
    """A client over HTTP: it answers to proxies and stand-ins as the other clients here do."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.secretmanager_v1.services.secret_manager_service import (
        SecretManagerServiceClient,
    )
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports.rest import (
        SecretManagerServiceRestTransport,
    )

    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        transport = SecretManagerServiceRestTransport(
            host=host, url_scheme=scheme or "http", credentials=AnonymousCredentials()
        )
        return SecretManagerServiceClient(transport=transport)
    location = location_of(name)
    # https://cloud.google.com/secret-manager/regional-secrets/data-residency
    options = {"api_endpoint": f"secretmanager.{location}.rep.googleapis.com"} if location else None
    return SecretManagerServiceClient(transport="rest", client_options=options)


def _is_transient(err: BaseException, api: Any, auth: Any) -> bool:
    import requests

    if isinstance(err, auth.TransportError | requests.ConnectionError | requests.Timeout):
        return True
    return isinstance(err, api.ServerError | api.TooManyRequests)


def _translated(name: str, err: Exception) -> UsageError | SecretError:
    cause = getattr(err, "cause", None) or err
    code = getattr(cause, "code", None)
    if code == 404:
        return UsageError(
            f"service.api_key_secret: {name}: no such version of a secret; make it by `gcloud "
            "secrets versions add`, or mend the name"
        )
    if code in (401, 403):
        return UsageError(
            f"service.api_key_secret: {name}: may not be read; grant "
            "roles/secretmanager.secretAccessor on the secret to the account that this process "
            "runs as (on Dataflow: the launcher's and the workers')"
        )
    if code == 400:
        return UsageError(
            f"service.api_key_secret: {name}: this version is disabled or destroyed; name another"
        )
    return SecretError(
        f"{name}: Secret Manager does not answer ({type(cause).__name__}); the same command goes on"
    )


def _text(name: str, payload: Any) -> str:
    """The key in a payload, its checksum compared; what it holds is never shown."""
    import google_crc32c

    data = bytes(payload.data)
    if payload.data_crc32c and google_crc32c.value(data) != payload.data_crc32c:
        raise SecretError(f"{name}: arrived damaged; the same command goes on")
    try:
        # Made by `echo`, it ends in a line feed.
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"service.api_key_secret: {name}: holds no API key") from None
