"""Title of a text: its first heading, or the name of its file."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from reembed.config.tasks import clean_title

_LOOK_AT = 65_536
_ATX = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(?:=+|-+)[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_FRONT_MATTER_TITLE = re.compile(r"""^title:[ \t]*["']?(.+?)["']?[ \t]*$""", re.MULTILINE)
_HEADING_MARKS = re.compile(r"[*_`]+|!?\[([^\]]*)\]\([^)]*\)|<[^>]*>|\{#[^}]*\}")
_LINE_HEADING = 100


def title_of_text(text: str, markdown: bool) -> str | None:
    """Find the heading of a text.

    Args:
        text: the decoded source.
        markdown: whether it is Markdown, whose first heading (or front-matter title) is taken;
            of a plain text, its first line if an empty line or an underline sets it apart.

    Returns:
        A cleaned title, or None.
    """
    lines = text[:_LOOK_AT].splitlines()
    found = _markdown_heading(lines) if markdown else _first_line(lines)
    return clean_title(found) if found else None


def title_of_name(name: str) -> str | None:
    """Make a title of the stem of a file's name or URI; None if nothing is left of it.

    Percent escapes are decoded only in URIs, where they are escapes.
    """
    path = unquote(urlsplit(name).path) if re.match(r"https?://", name) else name
    stem = PurePosixPath(path.replace("\\", "/")).stem
    return clean_title(re.sub(r"[_\s]+", " ", stem))


def _markdown_heading(lines: list[str]) -> str | None:
    start = 0
    if lines and lines[0].strip() == "---":
        end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() in ("---", "...")), 0)
        match = _FRONT_MATTER_TITLE.search("\n".join(lines[1:end]))
        if match:
            return match.group(1)
        start = end + 1 if end else 0
    return _first_heading(lines[start:])


def _first_heading(lines: list[str]) -> str | None:
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else mark.group(1)
        if fence or mark:
            continue
        heading = _ATX.match(line)
        if heading:
            return _without_marks(heading.group(1))
        under = lines[number + 1] if number + 1 < len(lines) else ""
        if line.strip() and _UNDERLINE.match(under) and not _UNDERLINE.match(line):
            return _without_marks(line)
    return None


def _without_marks(heading: str) -> str:
    return _HEADING_MARKS.sub(lambda match: match.group(1) or "", heading)


def _first_line(lines: list[str]) -> str | None:
    filled = next((n for n, line in enumerate(lines) if line.strip()), None)
    if filled is None or len(lines) < filled + 3:
        return None
    line, below = lines[filled].strip(), lines[filled + 1].strip()
    set_apart = not below or re.fullmatch(r"([=\-~*#_])\1{2,}", below) is not None
    # A sentence ends in a full stop; a heading does not.
    is_heading = (
        len(line) <= _LINE_HEADING
        and line[-1] not in ".,;:!?。，"
        and any(c.isalpha() for c in line)
    )
    return line.lstrip("# ") if set_apart and is_heading else None
