"""Sidecars become key, title and metadata of their files; what does not match is message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reembed.errors import UsageError
from reembed.sources.base import Source
from reembed.types import Item

Open = Callable[..., Source]
Read = Callable[[Source], list[Item]]


def test_a_json_beside_each_file(tmp_path: Path, source_of: Open, read_all: Read) -> None:
    files = {
        "b.jpg": "picture",
        "b.jpg.json": '{"key": "z", "title": "A boat", "metadata": {"n": 1}}',
        "a.txt": "words",
        "b.json": '{"not": "a sidecar"}',
        "c.txt": "words",
        "c.txt.json": '{"title": 5}',
        "d.txt": "words",
        "d.txt.json": '{"text": "x"}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    source = source_of(files=["*"], sidecar="json")
    found = {item.key: item for item in read_all(source)}
    assert list(found) == ["a.txt", "b.json", "c.txt", "d.txt", "z"]
    assert [item.position.index for item in found.values()] == [0, 1, 2, 3, 4]
    assert (found["z"].title, found["z"].metadata) == ("A boat", '{"n":1}')
    assert found["z"].uri == str(tmp_path / "b.jpg")
    for key, message in (("c.txt", "title is not text"), ("d.txt", "has only key")):
        reject = found[key].reject
        assert reject is not None
        assert reject.code == "bad_sidecar"
        assert message in reject.message
    assert "2 of 5 files have no .json beside them" in source.describe()


def test_sidecars_are_found_where_the_patterns_do_not_name_them(
    tmp_path: Path, source_of: Open, read_all: Read
) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "a.txt.json").write_text('{"title": "T"}')
    [item] = read_all(source_of(files=["*.txt"], sidecar="json"))
    assert item.title == "T"


def test_one_manifest_for_all(tmp_path: Path, source_of: Open, read_all: Read) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("words")
    (tmp_path / "titles.csv").write_text("uri,key,title\na.txt,first,A\n,b.txt,B\nno.txt,,N\n")
    source = source_of(files=["*"], sidecar="titles.csv")
    items = read_all(source)
    assert [(i.key, i.title) for i in items] == [("b.txt", "B"), ("c.txt", None), ("first", "A")]
    assert "1 lines of the sidecar name no file: titles.csv, line 4 (no.txt)" in source.describe()
    assert "1 of 3 files are not in the sidecar" in source.describe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"title": "x"}', "line 1: the line has no key"),
        ('{"key": "a.txt"}\n{"uri": "a.txt"}', "line 2: .*named before"),
        ('{"key": "a.txt", "text": "x"}', "by uri or key alone"),
        ("{", "line 1: .*not JSON"),
        ('{"uri": "a.txt", "key": "b.txt"}', "1 keys name two files each: 'b.txt'"),
    ],
)
def test_a_sidecar_manifest_that_cannot_be_read(
    tmp_path: Path, source_of: Open, text: str, message: str
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("words")
    (tmp_path / "side.jsonl").write_text(text)
    with pytest.raises(UsageError, match=message):
        source_of(files=["*.txt"], sidecar="side.jsonl")
    with pytest.raises(UsageError, match="matches 2 files; give one manifest"):
        source_of(files=["*.txt"], sidecar="*.txt")
