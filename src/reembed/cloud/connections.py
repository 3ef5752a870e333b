"""Connections of Google's HTTP clients, enough for the threads that share a client."""

from __future__ import annotations

from typing import Any


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
