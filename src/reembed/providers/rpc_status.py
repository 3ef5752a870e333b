"""Read a google.rpc.Status as answers carry it: by number, by name, or as an HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reembed.core.row_errors import RPC_NAMES, RowError, clip

_NUMBERS = {name: number for number, name in enumerate(RPC_NAMES)}

# The HTTP statuses of google/rpc/code.proto; where several codes share one, the commonest.
_OF_HTTP = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    409: 10,
    429: 8,
    499: 1,
    500: 13,
    501: 12,
    503: 14,
    504: 4,
}
_UNKNOWN = 2


def error_from_status(status: Any) -> RowError | None:
    """Read a status as an answer line carries it.

    Args:
        status: ``{"code":…,"message":…,"status":…}`` with a google.rpc or HTTP code, a bare code
            or name, a bare message, or None.

    Returns:
        None when there is no error: no status at all, or one with code 0 or OK.
    """
    if status is None or isinstance(status, bool):
        return None
    if not isinstance(status, Mapping):
        number = _number(status)
        if number == 0:
            return None
        text = status if isinstance(status, str) else ""
        return _row_error(_UNKNOWN if number is None else number, text)
    code, name = status.get("code"), status.get("status")
    message = status.get("message")
    if code is None and name is None and not message:
        return None
    number = _number(code)
    if number is None:
        number = _number(name)
    if number == 0:
        return None
    return _row_error(
        _UNKNOWN if number is None else number, message if isinstance(message, str) else ""
    )


def _number(code: Any) -> int | None:
    """Find a google.rpc.Code by its number, its name, or an HTTP status; None for others."""
    if isinstance(code, bool):
        return None
    if isinstance(code, str):
        if code.isascii() and code.isdigit() and len(code) < 10:
            return _number(int(code))
        return _NUMBERS.get(code.strip().lower())
    if not isinstance(code, int):
        return None
    if 200 <= code < 300:
        return 0
    return code if 0 <= code < len(RPC_NAMES) else _OF_HTTP.get(code, _UNKNOWN)


def _row_error(number: int, message: str) -> RowError:
    text = clip(message) or "the service gave no message"
    return RowError(RPC_NAMES[number], text, number)
