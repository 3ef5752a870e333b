"""Logs and warnings of a call go to the file of its run."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from reembed.cli.logs import logs_to_file
from reembed.errors import UsageError


def test_logs_and_warnings_go_to_the_runs_file_and_everything_is_put_back(tmp_path: Path) -> None:
    root = logging.getLogger()
    handlers, level, filters = root.handlers[:], root.level, warnings.filters[:]
    with logs_to_file(str(tmp_path / "run")):
        logging.getLogger("reembed.test").info("a line of a library")
        warnings.warn("a warning of a library", UserWarning, stacklevel=1)
    text = (tmp_path / "run" / "logs" / "reembed.log").read_text()
    assert "a line of a library" in text
    assert "a warning of a library" in text
    assert (root.handlers, root.level) == (handlers, level)
    assert warnings.filters == filters


def test_logs_of_later_calls_are_added(tmp_path: Path) -> None:
    for number in range(2):
        with logs_to_file(str(tmp_path)):
            logging.getLogger("reembed.test").info("call %d", number)
    text = (tmp_path / "logs" / "reembed.log").read_text()
    assert text.index("call 0") < text.index("call 1")


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="cannot be written"),
        logs_to_file(str(tmp_path / "file" / "run")),
    ):
        pass
