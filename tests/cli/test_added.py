"""A verb of another package is a command like a built-in one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from e2e.harness import Project, emulator, invoke, texts
from reembed import registry
from reembed.cli.main import app

TOY = "cli.toy_verb"


@pytest.fixture
def nearest() -> Iterator[str]:
    """Register the toy, as the entry point of an installed package would."""
    module = importlib.import_module(TOY)
    yield str(module.__file__)
    registry._added.clear()
    sys.modules.pop(TOY, None)


def test_an_added_verb_is_listed_and_explained(nearest: str) -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "nearest" in shown
    assert "Print the keys whose vectors are nearest" in shown
    assert "--count" in CliRunner().invoke(app, ["nearest", "--help"]).output
    assert len(Path(nearest).read_text().splitlines()) <= 40


def test_an_added_verb_reads_a_run_and_ends_as_others_do(nearest: str, tmp_path: Path) -> None:
    with emulator() as served:
        job = Project(tmp_path, served.url).write(texts(6))
        early = invoke("nearest", job.config, "corpus/note 003.txt")
        assert (early.code, "nothing was run in" in early.err) == (2, True)
        assert invoke("run", job.config).code == 0
    done = invoke("nearest", job.config, "corpus/note 003.txt", "--count", "2")
    assert done.code == 0, done.err
    first, second = done.out.splitlines()
    assert first == "1.000 corpus/note 003.txt"
    assert float(second.split()[0]) < 1
    unknown = invoke("nearest", job.config, "none.txt")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "'none.txt' has no vector" in unknown.err


def test_a_built_in_name_cannot_be_taken_and_an_unknown_one_is_refused(nearest: str) -> None:
    registry.add("reembed.commands", "plan", print)
    assert "Show what a run would do" in CliRunner().invoke(app, ["plan", "--help"]).output
    assert invoke("farthest").code == 2
