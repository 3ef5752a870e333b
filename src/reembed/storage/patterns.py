"""Patterns of file names: parsed once, matched by a regular expression.

``*`` is any run of characters within a name, ``?`` one character, ``[abc]``, ``[a-z]`` and
``[!abc]`` one of a class; ``**`` between slashes is any depth of folders, zero included. A class
of one character stands for it: ``[[]`` is the bracket. As in shells, a wildcard never stands for
the dot that begins a hidden name; ``.*`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from reembed.errors import UsageError

DEEP: Final = "**"
_VISIBLE: Final = r"(?!\.)"
_FOLDERS: Final = rf"(?:{_VISIBLE}[^/]*/)*"
_NAME: Final = rf"{_VISIBLE}[^/]+"


@dataclass(frozen=True, slots=True)
class Segment:
    """One name of a pattern: its expression, and its text where that is the only match."""

    regex: str
    literal: str | None = None
    prefix: str = ""

    @property
    def deep(self) -> bool:
        """Whether it is ``**``: any depth."""
        return self.regex == _FOLDERS


@dataclass(frozen=True, slots=True)
class Pattern:
    """Segments below a folder; names are matched relative to that folder."""

    segments: tuple[Segment, ...]
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", re.compile(_expression(self.segments), re.DOTALL))

    @property
    def prefix(self) -> str:
        """The text with which every match begins."""
        return self.segments[0].prefix if self.segments else ""

    def matches(self, name: str) -> bool:
        """Tell whether a name, relative to the folder, fits the whole pattern."""
        return self._regex.fullmatch(name) is not None

    def may_contain(self, folder: str) -> bool:
        """Tell whether anything below `folder`, relative as well, could still match."""
        states = set(self._skipping({0}))
        for name in folder.split("/"):
            states = set(self._skipping(self._after(states, name)))
        return any(state < len(self.segments) for state in states)

    def _skipping(self, states: set[int]) -> Iterator[int]:
        """Yield the states, and those behind each ``**`` taken as no folder at all."""
        for state in states:
            yield state
            while state < len(self.segments) and self.segments[state].deep:
                state += 1
                yield state

    def _after(self, states: set[int], name: str) -> set[int]:
        reached = set()
        for state in states:
            if state == len(self.segments):
                continue
            segment = self.segments[state]
            if segment.deep and not name.startswith("."):
                reached.add(state)
            elif not segment.deep and re.fullmatch(segment.regex, name, re.DOTALL):
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
        rest[-1] = Segment(_FOLDERS)
    return folder, Pattern(tuple(rest))


def parse_segment(text: str) -> Segment:
    """Parse one name of a pattern.

    Raises:
        UsageError: ``**`` beside other characters.
    """
    if text == DEEP:
        return Segment(_FOLDERS)
    tokens = list(_tokens(text))
    if any(a == b == _ANY for a, b in pairwise(tokens)):
        raise UsageError(f"{text!r}: ** must stand alone between slashes; write **/{_tail(text)}")
    literals = [token[1] for token in tokens if token[0] == "literal"]
    prefix = ""
    for kind, value in tokens:
        if kind != "literal":
            break
        prefix += value
    if len(literals) == len(tokens):
        return Segment(re.escape(prefix), prefix, prefix)
    regex = "".join(re.escape(value) if kind == "literal" else value for kind, value in tokens)
    return Segment(regex if prefix else _VISIBLE + regex, None, prefix)


_ANY: Final = ("wild", "[^/]*")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield ("literal", character) and ("wild", expression) pairs."""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            yield _ANY
        elif char == "?":
            yield "wild", "[^/]"
        elif char == "[" and (end := _class_end(text, at)):
            yield _class(text[at:end])
            at = end + 1
        else:
            yield "literal", char


def _class_end(text: str, at: int) -> int:
    """Find the bracket that closes a class; 0 when none does: then the first one is literal."""
    start = at + 1 if text[at : at + 1] == "!" else at
    # A bracket right at the start is a member of the class, not its end.
    return max(text.find("]", start + 1), 0)


def _class(body: str) -> tuple[str, str]:
    negated, members = body.startswith("!"), body.removeprefix("!")
    if len(members) == 1 and not negated:
        return "literal", members
    parts, at = [], 0
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            low, high = members[at], members[at + 2]
            if low <= high:
                parts.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            parts.append(re.escape(members[at]))
            at += 1
    if negated:
        return "wild", f"[^/{''.join(parts)}]"
    # Only reversed ranges: a class of nothing.
    return "wild", f"(?!/)[{''.join(parts)}]" if parts else r"(?!)"


def _tail(text: str) -> str:
    return re.sub(r"\*\*+", "*", text)


def _expression(segments: tuple[Segment, ...]) -> str:
    parts: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment.deep:
            # Two in a row say what one says, and would make matching slow.
            parts += [] if parts and parts[-1] == _FOLDERS else [_FOLDERS]
            parts += [_NAME] if last else []
        else:
            parts.append(segment.regex if last else segment.regex + "/")
    return "".join(parts)


EVERYTHING: Final = Pattern((Segment(_FOLDERS),))
