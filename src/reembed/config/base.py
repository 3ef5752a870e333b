"""Base of every section of a configuration; problems that validators report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict

_MAX_SHOWN = 60
_SECRET_KEY = re.compile(r"(^|[._-])(api_?key|key|secret|password|credentials?)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"AIza[0-9A-Za-z_-]{8,}|://[^/@\s]+@"
    r'|"(key|token|[^"]*(api_?key|secret|password|credential)[^"]*)":',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Wrong key with its remedy; `key` is relative to the section that found it."""

    key: str
    value: str
    remedy: str

    def under(self, prefix: str) -> Problem:
        """Make the same problem with its key below a section."""
        key = ".".join(part for part in (prefix, self.key) if part)
        return Problem(key, self.value, self.remedy)


class ProblemsError(ValueError):
    """Error that a validator of a section raises; pydantic carries it to `messages`."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(f"{p.key}: {p.value}: {p.remedy}" for p in self.problems)


class UnknownKeysError(ProblemsError):
    """Keys that a section does not know; `messages` finds what each may have been meant for."""

    def __init__(self, shown: Mapping[str, str]) -> None:
        super().__init__(*(Problem(key, value, "not a known key") for key, value in shown.items()))


def wrong(key: str, value: Any, remedy: str) -> ProblemsError:
    """Make the error for one wrong key."""
    return ProblemsError(Problem(key, show_value(value, key), remedy))


def show_value(value: Any, key: str = "") -> str:
    """Show a value as one short line, unless it looks like a secret.

    A key that was pasted into a file by mistake must not end up in a log or a report.
    """
    if _SECRET_KEY.search(key):
        return "(not shown)"
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    # Arguments of a command line may contain bytes that are not UTF-8, as lone surrogates.
    text = text.encode(errors="backslashreplace").decode()
    if _SECRET_VALUE.search(text):
        return "(not shown)"
    if text.strip() != text or not text.isprintable() or not text:
        text = orjson.dumps(text).decode()
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


class Section(BaseModel):
    """Base of every section: immutable, and an unknown key is an error.

    A misspelt key that was ignored would leave its default in place, and the run would be paid
    with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    # Keys of a section from another package that may change while a run is under way.
    free: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def added_models(cls) -> dict[str, type[Section]]:
        """Models of sections that kinds from other packages may have here; see `OpenSection`."""
        return {}
