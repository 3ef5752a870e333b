"""What a line of a manifest says: fields of JSON or CSV, checked; what is wrong is a reject."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from reembed.errors import RejectError, UsageError
from reembed.sources.lines import MAX_RECORD_BYTES
from reembed.sources.rows import parts_of
from reembed.types import ItemPart

FIELDS = ("key", "uri", "text", "parts", "title", "metadata")
_CONTENT = ("uri", "text", "parts")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that can be read; what it leaves out is None or empty."""

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
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    said: dict[str, Any] = {
        "key": key,
        "uri": fields.get("uri"),
        "text": fields.get("text"),
        "title": title,
    }
    for name, value in said.items():
        if value is not None and not isinstance(value, str):
            raise _bad(f"{name} is no text")
    if metadata is not None and not isinstance(metadata, dict):
        raise _bad("metadata is no object")
    return Entry(
        said["key"],
        said["uri"],
        said["text"],
        _parts(fields.get("parts")),
        said["title"],
        None if metadata is None else orjson.dumps(metadata).decode(),
    )


def check_key(entry: Entry) -> str:
    """The key of an entry.

    Raises:
        RejectError: ``no_key``.
    """
    if not entry.key:
        raise RejectError("no_key", "the line has no key; give it one")
    return entry.key


def check_content(entry: Entry) -> None:
    """Hold an entry to having exactly one of `uri`, `text` and `parts`.

    Raises:
        RejectError: ``no_content``, ``bad_line``.
    """
    given = [name for name in _CONTENT if getattr(entry, name) not in (None, ())]
    if not given:
        raise RejectError("no_content", "the line has none of uri, text and parts; give one")
    if len(given) > 1:
        raise _bad(f"it has {' and '.join(given)}, of which a line takes one")


def read_header(data: bytes | None, place: str) -> tuple[str, ...]:
    """The columns that the first record of a CSV manifest names.

    Raises:
        UsageError: they are none, unknown, or doubled.
    """
    try:
        if data is None:
            raise ValueError("it is too long")
        names = tuple(name.strip().lower() for name in _csv_row(data.removeprefix(_BOM)))
    except (ValueError, csv.Error) as err:
        raise UsageError(f"{place}: its first line is no header ({err})") from err
    if unknown := [name for name in names if name not in FIELDS]:
        raise UsageError(
            f"{place}: its first line has the unknown column {unknown[0][:80]!r}; a CSV manifest "
            f"begins with a header of {', '.join(FIELDS)}"
        )
    if len(set(names)) < len(names):
        raise UsageError(f"{place}: its header names a column twice; keep one of them")
    return names


def _json_fields(data: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(data.removeprefix(_BOM))
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
        # The module has one limit for all; records are held to ours before they come here.
        csv.field_size_limit(MAX_RECORD_BYTES)
    rows = list(csv.reader([data.decode()], strict=True))
    if len(rows) != 1:
        raise ValueError("it is none")
    return rows[0]


def _parts(said: Any) -> tuple[ItemPart, ...]:
    if said is None:
        return ()
    try:
        return parts_of(said)
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
