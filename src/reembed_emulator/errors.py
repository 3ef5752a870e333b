"""Error answers: refused requests by HTTP status, failed rows by RPC code and message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Codes of google.rpc.Code, as rows and ended jobs carry them.
CANCELLED = 1
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
INTERNAL = 13

_HTTP_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    409: "ALREADY_EXISTS",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ApiError(Exception):
    """Error answer to a request: HTTP code, message, details and extra headers."""

    def __init__(
        self,
        code: int,
        message: str,
        details: tuple[Mapping[str, Any], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message, details, headers)
        self.code = code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body in the form of Google's APIs."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": _HTTP_NAMES.get(self.code, "UNKNOWN"),
        }
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


class RowError(Exception):
    """Error of one row of a job: RPC code (3, 5, 8, 13 ...) and message."""

    def __init__(self, message: str, code: int = INVALID_ARGUMENT) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def status(self) -> dict[str, Any]:
        """Return the `google.rpc.Status` of the row."""
        return {"code": self.code, "message": self.message}


def invalid(message: str) -> ApiError:
    """Return the 400 answer INVALID_ARGUMENT."""
    return ApiError(400, message)


def exhausted() -> ApiError:
    """Return the 429 answer of an exhausted quota."""
    # Reported: the service names neither the quota nor, by Retry-After, a time to wait.
    return ApiError(429, "Resource has been exhausted (e.g. check quota).")


def no_such_file(name: str, code: int = 404) -> ApiError:
    """Return the answer for a file that is missing, expired or of another project."""
    # One message for all three: it does not reveal which files exist.
    message = f"You do not have permission to access the File {name} or it may not exist."
    return ApiError(code, message)


def no_such_batch(name: str) -> ApiError:
    """Return the 404 answer for a batch."""
    return ApiError(404, f"Requested entity was not found: {name}.")


def no_such_model(name: str, method: str, version: str) -> ApiError:
    """Return the 404 answer for an unknown model or a method that the model lacks."""
    message = (
        f"models/{name} is not found for API version {version}, or is not supported for {method}. "
        "Call ModelService.ListModels to see the list of available models and their supported "
        "methods."
    )
    return ApiError(404, message)
