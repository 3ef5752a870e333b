"""Recognise a file by its first bytes; its name only serves to warn.

Which format a file has is decided by the table, not by puremagic: that library ranks by the length
of a match, so that text beginning with "BM" is a bitmap, "ID3 is a tag" an MP3, "RIFF raff" an
AVI; any ZIP is a DOCX, M4A is video, UTF-16 text is an INI file; and it knows neither MPEG-TS, nor
a PDF behind junk. Where several bytes agree it is reliable, and it knows hundreds of formats: it
names the file in the message of a reject.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import puremagic

from reembed.formats.base import Format, refused_format
from reembed.formats.signatures import Head
from reembed.formats.table import OTHER_REMEDY, Table, load_table

_LONG_ENOUGH = 0.4  # puremagic's confidence is a tenth of the matching bytes: at least four


@dataclass(frozen=True, slots=True)
class Recognised:
    """Format of a file; `warning` is set where its name says another: ``named .jpg, holds PNG``."""

    format: Format
    warning: str | None = None


def recognise(head: bytes, name: str, table: Table | None = None) -> Recognised:
    """Recognise a file.

    Args:
        head: its first bytes, `HEAD_BYTES` of them if it has as many.
        name: file name or URI; decides nothing but Markdown, HTML fragments and warnings.
        table: the formats that are known; None: the built-in ones.

    Returns:
        Its format, which may be a refused one; never raises. A file without bytes is text, since
        an empty text is refused with the fitting words.
    """
    table = table or load_table()
    begin = Head(head, suffix_of(name))
    known = next((each for each in table.formats if each.recognises(begin)), None)
    if known is None and begin.suffix not in table.by_suffix:
        known = _named_by_library(head)
    known = known or _by_last_resort(begin, table)
    return Recognised(known, _disagreement(begin.suffix, known, table))


def suffix_of(name: str) -> str:
    """Give the suffix of a file name or URI in lower case; empty where it has none."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()


def _named_by_library(head: bytes) -> Format | None:
    try:
        best = puremagic.magic_string(head)[0]
    except (puremagic.PureError, ValueError, IndexError):
        return None
    if best.confidence < _LONG_ENOUGH or not best.name:
        return None
    return refused_format(best.name, best.mime_type or "application/octet-stream", OTHER_REMEDY)


def _by_last_resort(head: Head, table: Table) -> Format:
    for each in table.formats:
        if each.last_resort is not None and each.last_resort(head):
            return each
    return refused_format(
        f"binary data of no known format{f' named {head.suffix}' if head.suffix else ''}",
        "application/octet-stream",
        "remove it from the source, or convert it to a supported format",
    )


def _disagreement(suffix: str, known: Format, table: Table) -> str | None:
    promised = table.by_suffix.get(suffix)
    # A refused file has its own message.
    if promised is None or known.remedy or suffix in (*known.suffixes, *known.also):
        return None
    return f"named {suffix}, holds {known.label}"
