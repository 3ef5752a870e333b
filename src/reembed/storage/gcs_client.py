"""One Cloud Storage client for each process, its credentials found or missed quickly."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from reembed.cloud.connections import pooled
from reembed.cloud.credentials import find_credentials
from reembed.errors import StorageError

_POOL: Final = 64
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_clients: dict[str, Any] = {}
_lock = threading.Lock()


def client_for(endpoint: str = "") -> Any:
    """Return this process's client; threads share it, a forked process makes its own.

    Args:
        endpoint: address of a stand-in that asks for no credentials; empty: the one that
            ``STORAGE_EMULATOR_HOST`` names, else the real service.

    Raises:
        StorageError: no credentials were found; says what to set.
    """
    address = endpoint or os.environ.get("STORAGE_EMULATOR_HOST", "")
    if address and "://" not in address:
        address = f"http://{address}"
    with _lock:
        if address not in _clients:
            _clients[address] = _make(address)
        return _clients[address]


def _make(address: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    # Else the library asks for the bucket too, in threads of its own, to label traces.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    options = {"api_endpoint": address} if address else None
    credentials = AnonymousCredentials() if address else find_credentials(_SCOPE, StorageError)
    # Objects need no project; without one given, the library searches for it and fails.
    client = storage.Client(project=None, credentials=credentials, client_options=options)
    return pooled(client, _POOL)


def _after_fork() -> None:
    global _lock
    # Sockets shared with the parent would mix the answers of two processes.
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_after_fork)
