"""Write logs to a file of the run; as JSON, on request, to stderr too."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from reembed.cli.console import logs_are_json, record_of_error
from reembed.cli.log_format import JsonLines, Scrubber, TextLines
from reembed.config.notifications import NotifyConfig
from reembed.errors import ReembedError, UsageError
from reembed.storage.names import is_gs
from reembed.storage.open import open_storage

_MOMENT = re.compile(r"([0-9-]{10})[ T]([0-9:]{8})")


@contextlib.contextmanager
def logs_to_file(run_dir: str, notify: NotifyConfig | None = None) -> Iterator[None]:
    """Send all logs and warnings of this process to ``logs/reembed.log`` of the run.

    On Cloud Storage, where nothing can be appended to, the log is written at the end under the
    name of its first line's time. In JSON the lines go to stderr as well.

    Args:
        run_dir: the run directory.
        notify: section that may hold a webhook's address; no line shows that, or the API key.

    Raises:
        UsageError: the run directory cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="reembed-logs-") as scratch:
        folder = Path(scratch) if is_gs(run_dir) else Path(run_dir) / "logs"
        path = folder / "reembed.log"
        file = _open_log(path)
        try:
            with _handled_by(_handlers(file, _scrubber(notify))):
                yield
        except ReembedError as err:
            file.handle(record_of_error(err))  # stderr hears of it from who ends the command
            raise
        finally:
            file.close()
            if is_gs(run_dir) and path.stat().st_size:
                _keep(path, run_dir)


def _scrubber(notify: NotifyConfig | None) -> Scrubber:
    if notify is None:
        return Scrubber()
    variables = [notify.webhook_env] if notify.webhook_env else []
    return Scrubber(variables, [notify.webhook or ""])


def _handlers(file: logging.Handler, scrubber: Scrubber) -> list[logging.Handler]:
    handlers = [file, *([logging.StreamHandler(sys.stderr)] if logs_are_json() else [])]
    lines = JsonLines(scrubber) if logs_are_json() else TextLines(scrubber)
    for handler in handlers:
        handler.setFormatter(lines)
    return handlers


@contextlib.contextmanager
def _handled_by(handlers: list[logging.Handler]) -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = handlers
    root.setLevel(logging.INFO)
    # A line for each step of each pipeline, about types, and one for each request of a library:
    # of no use to anybody here.
    quiet = [logging.getLogger(name) for name in ("apache_beam.typehints", "httpx")]
    loud = [one.level for one in quiet]
    for one in quiet:
        one.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threads, threading.excepthook = threading.excepthook, _log_thread
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook = threads
        # Job servers are ended with the process, and say so.
        root.handlers[:], root.level = before or [logging.NullHandler()], level
        for one, old in zip(quiet, loud, strict=True):
            one.setLevel(old)


def _log_thread(failed: threading.ExceptHookArgs) -> None:
    """Log that an engine's own thread died, for instance of a connection that Ctrl-C has cut."""
    if failed.exc_value is not None:
        logging.getLogger(__name__).error("a thread ended", exc_info=failed.exc_value)


def _open_log(path: Path) -> logging.FileHandler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as err:
        raise UsageError(
            f"run_dir: {path.parent.parent} cannot be written ({err.strerror}); give a folder of "
            "yours (--run-dir) or gs://bucket/prefix"
        ) from err


def _keep(path: Path, run_dir: str) -> None:
    first = _MOMENT.search(path.read_text(encoding="utf-8"))
    began = f"{first[1]}T{first[2].replace(':', '')}" if first else "reembed"
    open_storage().put(f"{run_dir}/logs/{began}.log", path.read_bytes())
