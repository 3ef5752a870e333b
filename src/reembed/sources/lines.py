"""Read records of a text file with their places: lines, or rows of CSV that may span lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# A longer one is passed over in pieces: no manifest may fill the memory of who reads it.
MAX_RECORD_BYTES = 32_000_000
_PIECE = 1 << 20


class Record(NamedTuple):
    """One record: where it begins, the number of its first line (from 1), and its bytes.

    `end` is the offset behind it. `data` has no line end, and is None where it is too long.
    """

    offset: int
    end: int
    line: int
    data: bytes | None


def read_records(
    stream: BinaryIO,
    start: int = 0,
    line: int = 1,
    *,
    quoted: bool = False,
    most: int = MAX_RECORD_BYTES,
) -> Iterator[Record]:
    """Yield the records from an offset on, without blank lines.

    Args:
        stream: binary, buffered, seekable.
        start: the offset of a record's first byte.
        line: the number of the line there.
        quoted: whether line ends between quotes belong to a field, as in CSV.
        most: bytes of the longest record that is given out.
    """
    stream.seek(start)
    if quoted:
        yield from _rows(stream, start, line, most)
        return
    at = start
    while True:
        data, size = _line(stream, most)
        if not size:
            return
        begin, at = at, at + size
        if data is None or not data.isspace():
            yield Record(begin, at, line, data and data.rstrip(b"\r\n"))
        line += 1


def _rows(stream: BinaryIO, start: int, line: int, most: int) -> Iterator[Record]:
    """Rows of CSV: lines joined where a quoted field holds their ends."""
    at = start
    while True:
        first, begin = line, at
        parts: list[bytes] = []
        whole, inside = True, False
        while True:
            piece, size = _line(stream, most)
            at += size
            line += 1 if size else 0
            whole = whole and piece is not None and at - begin <= most
            if piece is not None and whole:
                parts.append(piece)
                inside = ends_inside(piece, inside)
            # Of what is too long the quotes are not looked for: it ends with its line.
            if not (inside and whole and size):
                break
        if at == begin:
            return
        data = b"".join(parts).rstrip(b"\r\n") if whole else None
        if data is None or data.strip():
            yield Record(begin, at, first, data)


def _line(stream: BinaryIO, most: int) -> tuple[bytes | None, int]:
    """One line with its end and its length; None for a line above `most` bytes."""
    line = stream.readline(most + 1)
    if len(line) <= most or line.endswith(b"\n"):
        return line, len(line)
    size = len(line)
    while True:
        piece = stream.readline(_PIECE)
        size += len(piece)
        if not piece or piece.endswith(b"\n"):
            return None, size


def ends_inside(line: bytes, inside: bool) -> bool:
    """Whether a quoted field of CSV is open at the end of a line.

    Args:
        line: one line.
        inside: whether one was open at its beginning; otherwise a record begins here.
    """
    at = 0
    if not inside:
        if b'"' not in line:
            return False
        inside = line.startswith(b'"')
        at = 1 if inside else 0
    while True:
        if inside:
            quote = line.find(b'"', at)
            if quote < 0:
                return True
            # Two quotes are one that belongs to the field.
            inside = line[quote + 1 : quote + 2] == b'"'
            at = quote + (2 if inside else 1)
            continue
        comma = line.find(b",", at)
        if comma < 0:
            return False
        inside = line[comma + 1 : comma + 2] == b'"'
        at = comma + (2 if inside else 1)
