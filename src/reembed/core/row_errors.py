"""Reasons for a request without a vector: the service's row errors and our own findings."""

from __future__ import annotations

from dataclasses import dataclass

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
MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class RowError:
    """Reason for a request without a vector.

    `reason` is a snake_case word to group by: the name of a google.rpc.Code for what the service
    reported, otherwise what was found wrong here (``missing``, ``wrong_dimension``, ``not_finite``,
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
        """Stage where it was found: ``submit``, ``embed`` or ``join``."""
        return self.at or ("embed" if self.from_service else "join")

    @property
    def from_service(self) -> bool:
        """Tell whether the service itself reported it."""
        return self.code != 0


def clip(message: str) -> str:
    """Cut to 500 characters that can be written as UTF-8 (stray surrogates become ``?``)."""
    return message[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")
