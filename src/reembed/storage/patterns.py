"""Patterns of file names: parsed once, matched name by name.

``*`` is any run of characters within a name, ``?`` one character, ``[abc]``, ``[a-z]`` and
``[!abc]`` one of a class; ``**`` between slashes is any depth of folders, zero included. A class
of one character stands for it: ``[[]`` is the bracket. As in shells, a wildcard never stands for
the dot that begins a hidden name; ``.*`` does.

Wildcards within a name are matched by `wcmatch`. Folders are stepped through here, since two
questions besides matching have to be answered: which folders need not be entered at all, and with
what text every match begins, which is what Cloud Storage lists by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wcmatch import fnmatch

from reembed.errors import UsageError

DEEP: Final = "**"
# Text that stands for itself: no wildcard, or a class of one character.
_LITERAL_CLASS: Final = re.compile(r"\[([^!])\]", re.DOTALL)
# A bracket that no other closes is a character, too: "[/" names what lies in the folder "[".
_OPEN_BRACKET: Final = r"\[(?!(?:!.|[^!]).*\])"
_LITERAL_TEXT: Final = re.compile(
    rf"(?:{_LITERAL_CLASS.pattern}|[^*?\[]|{_OPEN_BRACKET})*", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One name of a pattern; `regex` None is ``**``: any depth of visible folders.

    `prefix` is the text with which every match begins, `literal` the only match, where there is
    only one.
    """

    regex: re.Pattern[str] | None
    literal: str | None = None
    prefix: str = ""


_FOLDERS: Final = Segment(None)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Segments below a folder; names are matched relative to that folder.

    Matching keeps the set of segments that may come next, one step a name. Trying one way after
    the other would take forever for a few ``**`` in a row.
    """

    segments: tuple[Segment, ...]

    @property
    def prefix(self) -> str:
        """Text with which every match begins."""
        return self.segments[0].prefix if self.segments else ""

    def matches(self, name: str) -> bool:
        """Tell whether a name, relative to the folder, fits the whole pattern."""
        *folders, last = name.split("/")
        states = self._enter(folders)
        end = len(self.segments)
        if end in self._after(states, last):
            return True
        # A pattern that ends in ** wants a name there: a visible one.
        deep = bool(self.segments) and self.segments[-1].regex is None
        return deep and end - 1 in states and last[:1] not in ("", ".")

    def may_contain(self, folder: str) -> bool:
        """Tell whether anything below `folder`, relative as well, could still match."""
        return any(state < len(self.segments) for state in self._enter(folder.split("/")))

    def _enter(self, folders: list[str]) -> set[int]:
        states = set(self._skipping({0}))
        for folder in folders:
            states = set(self._skipping(self._after(states, folder)))
        return states

    def _skipping(self, states: set[int]) -> Iterator[int]:
        """Yield the states, and those behind each ``**`` taken as no folder at all."""
        for state in states:
            yield state
            while state < len(self.segments) and self.segments[state].regex is None:
                state += 1
                yield state

    def _after(self, states: set[int], name: str) -> set[int]:
        reached = set()
        for state in states:
            if state == len(self.segments):
                continue
            regex = self.segments[state].regex
            if regex is None and not name.startswith("."):
                reached.add(state)
            elif regex is not None and regex.match(name):
                reached.add(state + 1)
        return reached


def split_pattern(text: str) -> tuple[str, Pattern | None]:
    """Split a pattern into the folder that is certain and the pattern below it.

    A pattern that ends in a slash means everything below the folders that it names.

    Returns:
        The leading text without wildcards, escapes undone, with its slashes as they are (the last
        one too); and the rest from the first name with a wildcard on, None where there is none.

    Raises:
        UsageError: ``**`` beside other characters in one name.
    """
    segments = [parse_segment(part) for part in text.split("/")]
    lead = 0
    while lead < len(segments) and segments[lead].literal is not None:
        lead += 1
    folder = "/".join(segment.literal or "" for segment in segments[:lead])
    if lead == len(segments):
        return folder, None
    folder += "/" if lead else ""
    rest = segments[lead:]
    if rest[-1].literal == "":
        rest[-1] = _FOLDERS
    return folder, Pattern(tuple(rest))


def parse_segment(text: str) -> Segment:
    """Parse one name of a pattern.

    Raises:
        UsageError: ``**`` beside other characters.
    """
    if text == DEEP:
        return _FOLDERS
    if "**" in text:
        tail = re.sub(r"\*\*+", "*", text)
        raise UsageError(f"{text!r}: ** must stand alone between slashes; write **/{tail}")
    certain = _LITERAL_TEXT.match(text)
    assert certain is not None
    prefix = _LITERAL_CLASS.sub(r"\1", certain[0])
    literal = prefix if certain.end() == len(text) else None
    if literal is not None:
        return Segment(re.compile(re.escape(literal) + r"\Z"), literal, prefix)
    if text == "*":
        # wcmatch asks for one character at least; Cloud Storage has folders without a name (a//b).
        return Segment(re.compile(r"(?!\.).*\Z", re.DOTALL))
    # wcmatch takes a backslash for an escape; here it is a character like any other.
    [regex], _ = fnmatch.translate(text.replace("\\", "\\\\"), flags=fnmatch.CASE)
    return Segment(re.compile(regex), None, prefix)


EVERYTHING: Final = Pattern((_FOLDERS,))
