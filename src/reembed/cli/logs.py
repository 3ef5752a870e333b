"""Logs go to a file of the run, not on the screen."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from reembed.errors import UsageError
from reembed.storage.names import is_gs
from reembed.storage.open import open_storage

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextlib.contextmanager
def logs_to_file(run_dir: str) -> Iterator[None]:
    """Send all logs and warnings of this process to ``logs/reembed.log`` of the run.

    On Cloud Storage, where nothing can be appended to, the log is written at the end under the
    name of its first line's time.

    Raises:
        UsageError: the run directory cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="reembed-logs-") as scratch:
        folder = Path(scratch) if is_gs(run_dir) else Path(run_dir) / "logs"
        path = folder / "reembed.log"
        handler = _open_log(path)
        handler.setFormatter(logging.Formatter(_FORMAT))
        root = logging.getLogger()
        before, level = root.handlers[:], root.level
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        # A line for each step of each pipeline, about types: of no use to anybody here.
        logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)
        logging.captureWarnings(True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                yield
        finally:
            logging.captureWarnings(False)
            root.handlers[:], root.level = before, level
            handler.close()
            if is_gs(run_dir) and path.stat().st_size:
                _keep(path, run_dir)


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
    began = path.read_text(encoding="utf-8")[:19].replace(" ", "T").replace(":", "")
    open_storage().put(f"{run_dir}/logs/{began}.log", path.read_bytes())
