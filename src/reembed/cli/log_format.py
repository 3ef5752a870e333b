"""Log lines as JSON objects with stable fields and no secret in them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from reembed.providers.keys import KEY_VARIABLES

# In every line, empty where they say nothing. `severity`, `message` and `time` are read by Cloud
# Logging; the rest becomes fields of its `jsonPayload`.
FIELDS = ("event", "run", "shard", "attempt", "job")


class Scrubber:
    """Blots out the values of environment variables that hold secrets.

    Nothing writes them; this is for what a library or a service might repeat.

    Args:
        variables: names of environment variables, beside those of the API key.
        more: secrets themselves.
    """

    def __init__(self, variables: Iterable[str] = (), more: Iterable[str] = ()) -> None:
        values = set(more) | {
            os.environ.get(name, "").strip() for name in (*KEY_VARIABLES, *variables)
        }
        self._values = sorted((v for v in values if len(v) >= 8), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Remove all secrets from a text, and without bytes of names that are no UTF-8."""
        text = text.encode(errors="backslashreplace").decode()
        for value in self._values:
            text = text.replace(value, "***").replace(quote(value, safe=""), "***")
        return text


class TextLines(logging.Formatter):
    """Lines for people."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._clean = scrubber.clean

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as a line, or several with a traceback."""
        return self._clean(super().format(record))


class JsonLines(logging.Formatter):
    """Lines for machines. `run` stands in lines that do not say it themselves, once it is known."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self._clean = scrubber.clean
        self.run = ""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one JSON object."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            # The names of Python's levels are names of Cloud Logging's severities too.
            "severity": logging.getLevelName(_known(record.levelno)),
            "message": self._clean(record.getMessage()),
            "logger": record.name,
        }
        self.run = getattr(record, "run", "") or self.run
        for name in FIELDS:
            line[name] = self._clean(str(getattr(record, name, "")))
        line["run"] = self.run
        if counts := getattr(record, "counts", None):
            line["counts"] = counts
        if record.exc_info:
            line["exception"] = self._clean(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


def _known(level: int) -> int:
    """Find the level with a name that is at or below a level."""
    named = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    return max((one for one in named if one <= level), default=logging.DEBUG)
