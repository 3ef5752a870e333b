"""A seekable file over fetched ranges behaves as the file would."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.errors import StorageError
from reembed.storage.ranges import open_ranges

steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 60)),
        st.tuples(st.just("seek"), st.integers(0, 60)),
        st.tuples(st.just("back"), st.integers(0, 10)),
    ),
    max_size=12,
)


@given(st.binary(max_size=50), st.integers(1, 20), steps)
def test_reads_as_a_file_does(content: bytes, chunk: int, todo: list[tuple[str, int]]) -> None:
    plain = io.BytesIO(content)
    ranged = open_ranges(lambda start, end: content[start:end], len(content), chunk)
    for what, number in todo:
        for source in (plain, ranged):
            if what == "seek":
                source.seek(number)
            elif what == "back":
                source.seek(max(0, len(content) - number))
        if what == "read":
            assert ranged.read(number) == plain.read(number)
        assert ranged.tell() == plain.tell()


def test_small_reads_share_a_fetch_and_the_rest_is_one_fetch() -> None:
    content, asked = bytes(100_000), []

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    with open_ranges(fetch, len(content), 1000) as source:
        for _ in range(10):
            source.read(100)
        source.read()

    assert asked == [(0, 1000), (1000, 100_000)]


def test_never_asks_past_the_end() -> None:
    with open_ranges(lambda *_: pytest.fail("asked"), 0) as source:
        assert source.read(10) == b""
    with open_ranges(lambda *_: pytest.fail("asked"), 5) as source:
        source.seek(9)
        assert source.read() == b""


def test_short_answer_is_an_error() -> None:
    with (
        open_ranges(lambda start, end: b"x", 10) as source,
        pytest.raises(StorageError, match="asked for bytes 0–10, got 1; read it again"),
    ):
        source.read()


def test_negative_position_is_an_error() -> None:
    with open_ranges(lambda start, end: b"", 10) as source, pytest.raises(ValueError, match="-1"):
        source.seek(-11, io.SEEK_END)
