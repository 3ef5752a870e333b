"""What people see of a run: from notes alone, in lines or bars, or nothing with --json."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import orjson
import pytest

from reembed.cli.screen import Screen, print_json
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
