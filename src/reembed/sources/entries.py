"""Records of a JSONL or CSV manifest, with their offsets; fields checked, a bad one is a reject."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import orjson

from reembed.errors import RejectError, UsageError
from reembed.sources.rows import parts_of
from reembed.types import ItemPart

# A longer record is skipped in pieces: a file without line ends must not fill a worker's memory.
MAX_RECORD_BYTES = 32_000_000
_PIECE = 1 << 20


class Record(NamedTuple):
    """One record: its offset, the number of its first line (from 1), and its bytes.

    `end` is the offset behind it. `data` is without line end; None where it is too long.
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
        most: bytes of the longest record whose data is kept.
    """
    # Split by hand: the csv module and line iterators hide the offset at which a record begins, and
    # without it a worker could not begin to read in the middle of a file.
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
    """Read rows of CSV: lines are joined where a quoted field holds their ends."""
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
            # A line that is too long was not kept, so its quotes are unknown: the row ends with it.
            if not (inside and whole and size):
                break
        if at == begin:
            return
        data = b"".join(parts).rstrip(b"\r\n") if whole else None
        if data is None or data.strip():
            yield Record(begin, at, first, data)


def _line(stream: BinaryIO, most: int) -> tuple[bytes | None, int]:
    """Read a line with its end, and its length; None instead of a line above `most` bytes."""
    # Bounded: a file without line ends would otherwise be read into memory as one line.
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
    """Tell whether a quoted field of CSV is open at the end of a line.

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
            # Two quotes stand for one that belongs to the field.
            inside = line[quote + 1 : quote + 2] == b'"'
            at = quote + (2 if inside else 1)
            continue
        comma = line.find(b",", at)
        if comma < 0:
            return False
        inside = line[comma + 1 : comma + 2] == b'"'
        at = comma + (2 if inside else 1)


FIELDS = ("key", "uri", "text", "parts", "title", "metadata")
_CONTENT = ("uri", "text", "parts")
# Byte order mark of UTF-8, which some programs write at the beginning of a file.
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Entry:
    """Fields of a readable line; those that it leaves out are None or empty."""

    key: str | None
    uri: str | None = None
    text: str | None = None
    parts: tuple[ItemPart, ...] = ()
    title: str | None = None
    metadata: str | None = None


def read_entry(data: bytes | None, header: Sequence[str] | None) -> Entry:
    """Read one record of a manifest.

    Args:
        data: without its line end; None for one that is too long.
        header: the columns of CSV; None for JSON.

    Raises:
        RejectError: ``line_too_long``, ``bad_line``, ``bad_parts``.
    """
    if data is None:
        raise RejectError(
            "line_too_long",
            f"the line has more than {MAX_RECORD_BYTES:,} bytes; name an object instead",
        )
    fields = _json_fields(data) if header is None else _csv_fields(data, header)
    if not fields.keys() <= _KNOWN:
        raise _bad(f"unknown field {_unknown(fields)}")
    key, title, metadata = fields.get("key"), fields.get("title"), fields.get("metadata")
    # True and False are integers in Python, but no keys.
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    texts: dict[str, Any] = {
        "key": key,
        "uri": fields.get("uri"),
        "text": fields.get("text"),
        "title": title,
    }
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise _bad(f"{name} is not text")
    if metadata is not None and not isinstance(metadata, dict):
        raise _bad("metadata is not an object")
    return Entry(
        texts["key"],
        texts["uri"],
        texts["text"],
        _parts(fields.get("parts")),
        texts["title"],
        None if metadata is None else orjson.dumps(metadata).decode(),
    )


def check_key(entry: Entry) -> str:
    """Return the key of an entry.

    Raises:
        RejectError: ``no_key``.
    """
    if not entry.key:
        raise RejectError("no_key", "the line has no key; give it one")
    return entry.key


def check_content(entry: Entry) -> None:
    """Check that an entry has exactly one of `uri`, `text` and `parts`.

    Raises:
        RejectError: ``no_content``, ``bad_line``.
    """
    present = [name for name in _CONTENT if getattr(entry, name) not in (None, ())]
    if not present:
        raise RejectError("no_content", "the line has none of uri, text and parts; give one")
    if len(present) > 1:
        raise _bad(f"it has {' and '.join(present)}, of which a line takes one")


def read_header(data: bytes | None, uri: str) -> tuple[str, ...]:
    """Read the columns that the first record of a CSV manifest names.

    Args:
        data: the record; None where it is too long.
        uri: the manifest, for messages.

    Raises:
        UsageError: it is no header, or a column is unknown or named twice.
    """
    try:
        if data is None:
            raise ValueError("it is too long")
        names = tuple(name.strip().lower() for name in _csv_row(data.removeprefix(BOM)))
    except (ValueError, csv.Error) as err:
        raise UsageError(f"{uri}: its first line is not a header ({err})") from err
    if unknown := [name for name in names if name not in FIELDS]:
        raise UsageError(
            f"{uri}: its first line has the unknown column {unknown[0][:80]!r}; a CSV manifest "
            f"begins with a header of {', '.join(FIELDS)}"
        )
    if len(set(names)) < len(names):
        raise UsageError(f"{uri}: its header names a column twice; keep one of them")
    return names


def _json_fields(data: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(data.removeprefix(BOM))
    except orjson.JSONDecodeError as err:
        raise _bad(f"not JSON in UTF-8 ({err})") from err
    if not isinstance(fields, dict):
        raise _bad("not a JSON object")
    return fields


def _csv_fields(data: bytes, header: Sequence[str]) -> dict[str, Any]:
    try:
        row = _csv_row(data)
    except (ValueError, csv.Error) as err:
        lines = data.count(b"\n") + 1
        more = f"; it goes on for {lines:,} lines, so a quote may be open" if lines > 1 else ""
        raise _bad(f"not a row of CSV in UTF-8 ({err}){more}") from err
    # A missing cell would move all that follow it into wrong columns.
    if len(row) != len(header):
        raise _bad(f"it has {len(row)} cells, and the header {len(header)}")
    fields: dict[str, Any] = {n: v for n, v in zip(header, row, strict=True) if v != ""}
    for name in ("metadata", "parts"):
        if name in fields:
            try:
                fields[name] = orjson.loads(fields[name])
            except orjson.JSONDecodeError as err:
                raise _bad(f"{name} is not JSON ({err})") from err
    return fields


def _csv_row(data: bytes) -> list[str]:
    if csv.field_size_limit() < MAX_RECORD_BYTES:
        # The csv module has one limit for the process; records were measured against ours before.
        csv.field_size_limit(MAX_RECORD_BYTES)
    rows = list(csv.reader([data.decode()], strict=True))
    if len(rows) != 1:
        raise ValueError("it is empty")
    return rows[0]


def _parts(value: Any) -> tuple[ItemPart, ...]:
    if value is None:
        return ()
    try:
        return parts_of(value)
    except ValueError as err:
        raise RejectError("bad_parts", f"its parts cannot be read: {err}") from err


_KNOWN = frozenset(FIELDS)


def _unknown(fields: dict[str, Any]) -> str:
    name = next(name for name in fields if name not in _KNOWN)
    close = difflib.get_close_matches(name, FIELDS, 1)
    hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(FIELDS)}"
    return f"{name[:80]!r}{hint}"


def _bad(why: str) -> RejectError:
    return RejectError("bad_line", f"the line cannot be read: {why}")
