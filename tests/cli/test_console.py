"""Words for people: names of files are no markup."""

from __future__ import annotations

import pytest

from reembed.cli.screen import Screen, console


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("vectors: /runs/x[/old]/[bold]y :bomb:")
    Screen(quiet=False).say("reembed run 'job [/a].yaml'")
    shown = capsys.readouterr()
    assert shown.out == "vectors: /runs/x[/old]/[bold]y :bomb:\n"
    assert shown.err == "reembed run 'job [/a].yaml'\n"
