"""Lines that a command writes to stderr: plain text, or on request one JSON object a line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from enum import StrEnum

import typer

from reembed.cli.log_format import JsonLines, Scrubber
from reembed.errors import ComeAgainError, ReembedError, StagedError, UsageError

logger = logging.getLogger("reembed")


class LogFormat(StrEnum):
    """Format of log lines."""

    TEXT = "text"
    JSON = "json"


# Of the command that runs in this context.
_format = ContextVar("log_format", default=LogFormat.TEXT)


@contextlib.contextmanager
def log_format(chosen: LogFormat) -> Iterator[None]:
    """Let log lines have this form until the block ends."""
    token = _format.set(chosen)
    try:
        yield
    finally:
        _format.reset(token)


def logs_are_json() -> bool:
    """Tell whether stderr takes JSON lines, and nothing else."""
    return _format.get() is LogFormat.JSON


def say(record: logging.LogRecord) -> None:
    """Write to stderr where no log is open: before a command begins, and at its end."""
    text = JsonLines(Scrubber()).format(record) if logs_are_json() else record.getMessage()
    typer.echo(text, err=True)


def record_of(text: str, level: int, event: str) -> logging.LogRecord:
    """Make a log record."""
    extra = {"event": event}
    return logger.makeRecord(logger.name, level, "", 0, "%s", (text,), None, extra=extra)


def record_of_error(err: ReembedError) -> logging.LogRecord:
    """Make the log record for an error; "work left" is a warning, and a staged job is none."""
    if isinstance(err, StagedError):
        return record_of(f"reembed: {err}", logging.INFO, "staged")
    event = "refused" if isinstance(err, UsageError) else "failed"
    if isinstance(err, ComeAgainError):
        return record_of(f"reembed: {err}", logging.WARNING, "come_again")
    return record_of(f"reembed: {err}", logging.ERROR, event)
