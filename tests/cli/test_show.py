"""What people see of a run: from notes alone, in lines or bars, or nothing with --json."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import orjson
import pytest

from reembed.cli.logs import logs_to_file
from reembed.cli.screen import Screen, console, print_json
from reembed.errors import UsageError
from reembed.ledger.run_dir import open_run_dir


def test_json_is_one_object_with_a_line_end(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": 1, "ü": [1.5, None]})
    out = capsys.readouterr().out
    assert out.endswith("}\n")
    assert orjson.loads(out) == {"a": 1, "ü": [1.5, None]}


def test_a_quiet_screen_says_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Screen(quiet=True) as screen:
        screen.say("words")
        screen.planning(open_run_dir(str(tmp_path)))
    assert capsys.readouterr() == ("", "")


def test_what_is_about_the_work_goes_to_the_error_output() -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), Screen(False) as screen:
        screen.say("a line about [brackets] and more " * 8)
    assert out.getvalue() == ""
    assert len(err.getvalue().splitlines()) == 1, "not folded where nobody looks"


def test_a_screen_can_end_twice_and_begin_again(tmp_path: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()), Screen(False) as screen:
        for _ in range(2):
            screen.planning(open_run_dir(str(tmp_path)))
            screen.ended()
            screen.ended()


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


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("vectors: /runs/x[/old]/[bold]y :bomb:")
    Screen(quiet=False).say("reembed run 'job [/a].yaml'")
    shown = capsys.readouterr()
    assert shown.out == "vectors: /runs/x[/old]/[bold]y :bomb:\n"
    assert shown.err == "reembed run 'job [/a].yaml'\n"
