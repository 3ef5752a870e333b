"""Why a request brought no vector: the service's row errors and our own findings, by one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Of google.rpc.Code: number to name, as in google/rpc/code.proto.
RPC_NAMES = (
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
)
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

MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a request brought no vector.

    `reason` is a snake_case word to group by: the name of a google.rpc.Code for what the service
    said, otherwise what was found wrong here (``missing``, ``wrong_dimension``, ``not_finite``,
    ``zero_norm``, ``no_vector``, ``doubled_different``). `message` has at most 500 characters.
    `code` is the google.rpc.Code, 0 when the finding is our own. `at` is the stage, where that
    does not follow from the code.
    """

    reason: str
    message: str
    code: int = 0
    at: str = ""

    @property
    def stage(self) -> str:
        """Where it came to light: ``submit``, ``embed`` or ``join``."""
        return self.at or ("embed" if self.from_service else "join")

    @property
    def from_service(self) -> bool:
        """Whether the service itself said so."""
        return self.code != 0


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
    """A google.rpc.Code from its number, its name, or an HTTP status; None for anything else."""
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


def clip(message: str) -> str:
    """At most 500 characters that can be written as UTF-8 (stray surrogates become ``?``)."""
    return message[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")
