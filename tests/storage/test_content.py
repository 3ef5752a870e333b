"""Contents by their URIs: in a generation, kept media, and pages where they are allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reembed.config.source import SourceConfig
from reembed.errors import ObjectNotFoundError, RejectError
from reembed.storage.content import ContentReader, name_of
from reembed.storage.local import LocalStorage


@pytest.fixture
def reader(tmp_path: Path) -> ContentReader:
    return ContentReader(LocalStorage(), inline_media=f"{tmp_path}/inline")


def test_a_file_is_read_in_the_state_that_it_has(reader: ContentReader, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"words")
    uri = str(tmp_path / "a.txt")
    with reader.open(uri) as opened:
        assert opened.stream.read() == b"words"
    assert opened.generation == reader.storage.stat(uri).generation


def test_another_generation_is_not_there(reader: ContentReader, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"words")
    with (
        pytest.raises(ObjectNotFoundError),
        reader.open(str(tmp_path / "a.txt"), "an older generation"),
    ):
        pass


def test_inline_media_are_kept_once_under_what_they_are(reader: ContentReader) -> None:
    first, again, other = (reader.keep(data) for data in (b"a", b"a", b"b"))
    assert first == again != other
    with reader.open(first) as opened:
        assert opened.stream.read() == b"a"


def test_pages_are_read_where_the_configuration_says_so() -> None:
    files = SourceConfig(files=("*",))
    assert ContentReader.of(files, LocalStorage(), "").https is None
    allowed = SourceConfig(files=("*",), https=True, max_https_mb=1.5)
    rules = ContentReader.of(allowed, LocalStorage(), "").https
    assert rules is not None
    assert rules.max_bytes == 1_500_000
    with (
        pytest.raises(RejectError, match=r"source\.https: true"),
        ContentReader.of(files, LocalStorage(), "").open("https://a.example/x"),
    ):
        pass


def test_the_path_of_a_page_tells_its_format() -> None:
    assert name_of("https://a.example/b/c.png?size=1") == "/b/c.png"
    assert name_of("gs://bucket/c.png?1") == "gs://bucket/c.png?1"
