"""The notebook of the documentation runs, and shows what it shows now."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from support.notebook import Notebook, execute, read_notebook

PATH = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Notebook:
    return read_notebook(PATH)


def test_every_cell_runs_and_its_outputs_are_those_that_are_kept(notebook: Notebook) -> None:
    again = copy.deepcopy(notebook)
    execute(again)
    for kept, now in zip(notebook["cells"], again["cells"], strict=True):
        assert kept == now, f"cell {kept['id']}: python -m support.notebook {PATH.name} writes it"
    shown = [cell["id"] for cell in notebook["cells"] if cell.get("outputs")]
    assert shown == ["plan", "run", "read", "near", "tomorrow"]


def test_it_is_a_notebook_of_format_4_5(notebook: Notebook) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    fields = {"cell_type", "id", "metadata", "source"}
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cell["id"])
        more = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == fields | more
        assert all(line.endswith("\n") for line in cell["source"][:-1])
