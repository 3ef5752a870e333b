"""Kinds are found by name, built-in ones first; those from outside by entry point or module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reembed import registry
from reembed.errors import UsageError
from reembed.registry import Table, add, find_added, load_extensions, names_added, resolve

GROUP = "reembed.test_kinds"


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    registry._added.pop(GROUP, None)
    registry._entry_points.cache_clear()


def test_a_built_in_kind_is_imported_when_asked_for() -> None:
    table: Table[object] = Table(GROUP, {"path": "pathlib:Path", "lost": "pathlib:Nowhere"})
    assert table.get("path") is Path
    assert list(table) == ["path", "lost"]
    with pytest.raises(UsageError, match=r"'pathlib:Nowhere' cannot be imported .*check the name"):
        table.get("lost")


def test_a_kind_from_outside_is_found_after_the_built_in_ones() -> None:
    table: Table[object] = Table(GROUP, {"path": Path})
    add(GROUP, "toy", "pathlib:PurePath")
    add(GROUP, "path", "never taken")
    assert table.get("toy") is resolve("pathlib:PurePath")
    assert table.get("path") is Path
    assert list(table) == ["path", "toy"]


def test_one_name_for_two_kinds_is_refused() -> None:
    add(GROUP, "toy", Path)
    add(GROUP, "toy", Path)
    with pytest.raises(UsageError, match=r"reembed\.test_kinds: 'toy' was added twice"):
        add(GROUP, "toy", dict)


def test_an_unknown_kind_is_refused_with_those_that_are_there() -> None:
    table: Table[object] = Table(GROUP, {"path": Path})
    with pytest.raises(UsageError, match=r"'pth' is not in .*there are path\. .*`extensions`"):
        table.get("pth")
    assert find_added(GROUP, "pth") is None


def test_a_module_named_as_an_extension_adds_its_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_extension.py").write_text(
        f"from reembed.registry import add\nadd({GROUP!r}, 'toy', 'pathlib:Path')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    load_extensions(["toy_extension"])
    load_extensions(["toy_extension"])
    assert names_added(GROUP) == ("toy",)
    del sys.modules["toy_extension"]
    for wrong in ("no_such_extension", "", ".relative"):
        with pytest.raises(UsageError, match=r"extension '.*' cannot be imported .*PYTHONPATH"):
            load_extensions([wrong])


def test_an_entry_point_of_an_installed_package_is_a_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\ntoy = pathlib:Path\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    table: Table[object] = Table(GROUP, {})
    assert table.get("toy") is Path
    assert list(table) == ["toy"]
