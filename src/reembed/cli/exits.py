"""End a command: errors become one line on stderr and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

import typer

from reembed.cli.console import LogFormat, log_format, record_of, record_of_error, say
from reembed.errors import ComeAgainError, ReembedError, StagedError, UsageError

SETTLED, FAILED, USAGE, COME_AGAIN, INTERRUPTED = 0, 1, 2, 75, 130


def exit_with(command: Callable[[], int], lines: LogFormat = LogFormat.TEXT) -> None:
    """Run a command; an error becomes one line and its exit code, never a traceback."""
    with log_format(lines):
        raise typer.Exit(_code_of(command))


def _code_of(command: Callable[[], int]) -> int:
    try:
        return command()
    except KeyboardInterrupt:
        say(record_of("interrupted", logging.WARNING, "interrupted"))
        return INTERRUPTED
    except ReembedError as err:
        say(record_of_error(err))
        return exit_code(err)
    except BrokenPipeError:
        # Somebody closed our output, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SETTLED


def exit_code(err: ReembedError) -> int:
    """Exit code of an error: staged 0, usage 2, come again 75, everything else 1."""
    if isinstance(err, StagedError):
        return SETTLED
    if isinstance(err, UsageError):
        return USAGE
    if isinstance(err, ComeAgainError):
        return COME_AGAIN
    return FAILED
