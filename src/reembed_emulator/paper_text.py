"""Take the words out of a PDF page, well enough to compare documents by them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pikepdf

_MAX_CHARACTERS = 200_000
# Kerning beyond this many thousandths of the font size is a space between words.
_WORD_GAP = -180
_PAIR = re.compile(rb"<([0-9A-Fa-f\s]+)>\s*<([0-9A-Fa-f\s]+)>")
_SPAN = re.compile(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*(?:<([0-9A-Fa-f]+)>|\[(.*?)\])", re.S)
_BLOCK = re.compile(rb"beginbf(char|range)(.*?)endbf(?:char|range)", re.S)
_MOVES = frozenset({"Td", "TD", "T*", "Tm", "ET"})
_SHOWS = frozenset({"Tj", "TJ", "'", '"'})


@dataclass(frozen=True, slots=True)
class _Font:
    width: int
    table: Mapping[int, str]

    def decode(self, data: bytes) -> str:
        if not self.table:
            return data.decode("cp1252", "ignore") if self.width == 1 else ""
        codes = [
            int.from_bytes(data[at : at + self.width], "big")
            for at in range(0, len(data), self.width)
        ]
        return "".join(self.table.get(code, "") for code in codes)


def page_text(page: Any) -> str:
    """Return the text of a page in the order of its drawing operators."""
    fonts = _fonts(page)
    font = _Font(1, {})
    pieces: list[str] = []
    size = 0
    for operands, operator in pikepdf.parse_content_stream(page):
        name = str(operator)
        if name == "Tf":
            font = fonts.get(str(operands[0]), _Font(1, {}))
        elif name in _MOVES:
            pieces.append(" ")
        elif name in _SHOWS:
            # The quotes begin a new line before they show.
            lead = "" if name.startswith("T") else " "
            pieces.append(lead + _shown(operands, font))
            size += len(pieces[-1])
        if size > _MAX_CHARACTERS:
            break
    return re.sub(r"\s+", " ", "".join(pieces)).strip()


def _shown(operands: Any, font: _Font) -> str:
    last = operands[-1]
    if isinstance(last, pikepdf.String):
        return font.decode(bytes(last))
    parts = []
    for item in last:
        if isinstance(item, pikepdf.String):
            parts.append(font.decode(bytes(item)))
        elif float(item) < _WORD_GAP:
            parts.append(" ")
    return "".join(parts)


def _fonts(page: Any) -> dict[str, _Font]:
    declared = page.resources.get("/Font", {})
    return {str(name): _font(declared[name]) for name in declared.keys()}  # noqa: SIM118


def _font(font: Any) -> _Font:
    width = 2 if str(font.get("/Subtype", "")) == "/Type0" else 1
    mapping = font.get("/ToUnicode")
    if not isinstance(mapping, pikepdf.Stream):
        return _Font(width, {})
    return _Font(width, _table(mapping.read_bytes()))


def _table(cmap: bytes) -> dict[int, str]:
    table: dict[int, str] = {}
    for kind, body in _BLOCK.findall(cmap):
        if kind == b"char":
            for source, target in _PAIR.findall(body):
                table[int(b"".join(source.split()), 16)] = _unicode(b"".join(target.split()))
            continue
        for first, last, start, listed in _SPAN.findall(body):
            targets = re.findall(rb"<([0-9A-Fa-f]+)>", listed)
            for step in range(min(int(last, 16) - int(first, 16) + 1, 65536)):
                table[int(first, 16) + step] = _step(start, targets, step)
    return table


def _step(start: bytes, targets: list[bytes], step: int) -> str:
    if start:
        width = max(4, len(start))
        return _unicode(b"%0*x" % (width, int(start, 16) + step))
    return _unicode(targets[step]) if step < len(targets) else ""


def _unicode(digits: bytes) -> str:
    return bytes.fromhex(digits.decode().rjust(4, "0")).decode("utf-16-be", "ignore")
