"""API key and base URL: where they come from, Secret Manager, and keeping the key out of sight."""

from __future__ import annotations

import ipaddress
import os
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from reembed.cloud.credentials import SIGN_IN
from reembed.config.secret_names import location_of
from reembed.errors import SecretError, UsageError

if TYPE_CHECKING:
    from reembed.config.schema import ServiceConfig

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
    """Read the text of a version of a secret; asked for once in each process.

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
    """Make a client over HTTP: it heeds proxies and stand-ins as the other clients here do."""
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
    """Take the key from a payload, its checksum compared; its content is never shown."""
    import google_crc32c

    data = bytes(payload.data)
    if payload.data_crc32c and google_crc32c.value(data) != payload.data_crc32c:
        raise SecretError(f"{name}: arrived damaged; the same command goes on")
    try:
        # Made by `echo`, it ends in a line feed.
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise UsageError(f"service.api_key_secret: {name}: holds no API key") from None


DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"
LOCAL_KEY = "local"
KEY_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_BASE_URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL"
_KEY_SHAPE = re.compile(r"[\x21-\x7e]+")
_HIDDEN = "***"


def resolve_api_key(environ: Mapping[str, str], required: bool) -> str:
    """Read the key from GOOGLE_API_KEY, then GEMINI_API_KEY, as the vendor's SDK does.

    Args:
        environ: the process's environment.
        required: whether a missing key is an error; a service on this machine needs none,
            and ``local`` is sent instead.

    Raises:
        UsageError: no variable is set, or what it holds cannot be a key (never shown).
    """
    for variable in KEY_VARIABLES:
        key = environ.get(variable, "").strip()
        if not key:
            continue
        if not _KEY_SHAPE.fullmatch(key):
            raise UsageError(
                f"{variable} holds characters that no API key has (blanks, line ends or letters "
                "outside ASCII): copy the key again"
            )
        return key
    if not required:
        return LOCAL_KEY
    raise UsageError(
        "no API key: set GOOGLE_API_KEY or GEMINI_API_KEY in the environment of this process and "
        "of every worker (a service.base_url on this machine needs none)"
    )


def configured_key(settings: ServiceConfig, environ: Mapping[str, str]) -> str:
    """Find a configuration's key: its secret's where it names one, else the environment's.

    The secret stands above the environment, so that all processes of a run have the same key.

    Raises:
        UsageError: there is none, it cannot be read, or it cannot be a key (never shown).
        SecretError: Secret Manager does not answer.
    """
    return _key(
        settings.api_key_secret,
        environ,
        required=not is_loopback(resolve_base_url(settings.base_url, environ)),
    )


def _key(secret: str | None, environ: Mapping[str, str], required: bool) -> str:
    if secret is None:
        return resolve_api_key(environ, required)
    key = read_secret(secret, environ)
    if not _KEY_SHAPE.fullmatch(key):
        raise UsageError(
            f"service.api_key_secret: {secret} is empty or holds characters that no API key has: "
            "add a version with the key alone"
        )
    return key


def resolve_base_url(configured: str | None, environ: Mapping[str, str]) -> str:
    """Take the base URL from the configuration, then GOOGLE_GEMINI_BASE_URL, then the default.

    Returns it without a slash at the end.

    Raises:
        UsageError: it is no http(s) URL with a host.
    """
    from_environment = environ.get(_BASE_URL_VARIABLE, "").strip()
    url = configured or from_environment or DEFAULT_BASE_URL
    where = "service.base_url" if configured else _BASE_URL_VARIABLE
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{where}: {url!r} is not http(s); give for instance {DEFAULT_BASE_URL}")
    if parts.username or parts.query or parts.fragment:
        raise UsageError(f"{where}: give scheme, host, port and path only, no user, ? or #")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Tell whether a URL points to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Secret:
    """Holder of an API key, which no text, log or pickle shows.

    A pickle does not carry the key: the process that loads it reads the secret that it is named
    by, else its own environment, so that a submitted job graph never holds a key.

    Args:
        value: the key; None reads it when it is first needed.
        required: as in `resolve_api_key`, for the process that reads its environment.
        secret: the secret's name in Secret Manager; None: the environment has the key.
    """

    __slots__ = ("_required", "_secret", "_value")

    def __init__(self, value: str | None, required: bool = True, secret: str | None = None) -> None:
        if value is not None and not _KEY_SHAPE.fullmatch(value):
            # A header would refuse it too, with the key in the message.
            raise UsageError("the API key is empty or holds characters that no API key has")
        self._value, self._required, self._secret = value, required, secret

    def reveal(self) -> str:
        """Give the key itself, for the header of a request only."""
        if self._value is None:
            self._value = _key(self._secret, os.environ, self._required)
        return self._value

    def forms(self) -> tuple[str, ...]:
        """List what must not be shown: the key, plain and percent-encoded, if it is a real one."""
        key = self._value
        return () if key is None or key == LOCAL_KEY else (key, quote(key, safe=""))

    def scrub(self, text: str) -> str:
        """Mask the key in a text, plain or percent-encoded."""
        for form in self.forms():
            text = text.replace(form, _HIDDEN)
        return text

    def scrub_bytes(self, body: bytes) -> bytes:
        """Mask the key in an answer: refusals of a key are known to repeat it (R)."""
        for form in self.forms():
            body = body.replace(form.encode(), _HIDDEN.encode())
        return body

    def __repr__(self) -> str:
        return _HIDDEN

    def __reduce__(self) -> tuple[type[Secret], tuple[None, bool, str | None]]:
        return Secret, (None, self._required, self._secret)
