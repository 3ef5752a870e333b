"""Patterns against a matcher that is simple enough to be believed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reembed.errors import UsageError
from reembed.storage.patterns import EVERYTHING, split_pattern


def valid(pattern: str) -> bool:
    """Refused patterns have a test of their own."""
    return all(part == "**" or "**" not in part for part in pattern.split("/"))


def instance(pattern: str) -> str:
    """A name that the pattern may well fit."""
    return pattern.replace("**", "a/b").replace("*", "ab").replace("?", "b").replace("[ab]", "b")


names = st.lists(st.text("ab.[]*!-", max_size=4), min_size=1, max_size=4).map("/".join)
patterns = (
    st.lists(
        st.one_of(
            st.just("**"), st.text("ab.[]*?!-", max_size=5), st.sampled_from(["*", "[ab]*", "?"])
        ),
        min_size=1,
        max_size=4,
    )
    .map("/".join)
    .filter(valid)
)


def fits(pattern: str, name: str) -> bool:
    folder, rest = split_pattern(pattern)
    if rest is None:
        return folder == name
    return name.startswith(folder) and rest.matches(name[len(folder) :])


def believed(pattern: str, name: str) -> bool:
    """Match segment by segment, character by character, trying every way."""
    parts = pattern.split("/")
    if parts[-1] == "" and any(believed_wild(part) for part in parts):
        parts[-1] = "**"
    return believed_path(parts, name.split("/"))


def believed_path(parts: list[str], folders: list[str]) -> bool:
    if not parts:
        return not folders
    if parts[0] != "**":
        return (
            bool(folders)
            and believed_name(parts[0], folders[0])
            and believed_path(parts[1:], folders[1:])
        )
    if not folders:
        return False
    visible = not folders[0].startswith(".")
    if len(parts) == 1 and len(folders) == 1:
        return visible and folders[0] != ""
    here = len(parts) > 1 and believed_path(parts[1:], folders)
    return here or (visible and len(folders) > 1 and believed_path(parts, folders[1:]))


def believed_wild(part: str) -> bool:
    return part == "**" or any(kind != "char" for kind, _ in believed_tokens(part))


def believed_name(part: str, name: str) -> bool:
    tokens = believed_tokens(part)
    if tokens and tokens[0][0] != "char" and name.startswith("."):
        return False
    return believed_rest(tokens, name)


def believed_rest(tokens: list[tuple[str, str]], name: str) -> bool:
    if not tokens:
        return not name
    kind, value = tokens[0]
    if kind == "*":
        return any(believed_rest(tokens[1:], name[skip:]) for skip in range(len(name) + 1))
    if not name:
        return False
    fitting = {
        "char": name[0] == value,
        "?": True,
        "in": name[0] in value,
        "not in": name[0] not in value,
    }
    return fitting[kind] and believed_rest(tokens[1:], name[1:])


def believed_tokens(part: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    while part:
        skip = 3 if part.startswith("[!") else 2
        end = part.find("]", skip) if part.startswith("[") else -1
        if end > 0:
            body = part[1:end]
            members = spelled(body.removeprefix("!"))
            if body.startswith("!"):
                tokens.append(("not in", members))
            elif len(body) == 1:
                tokens.append(("char", body))
            else:
                tokens.append(("in", members))
            part = part[end + 1 :]
        else:
            tokens.append((part[0], "") if part[0] in "*?" else ("char", part[0]))
            part = part[1:]
    return tokens


def spelled(members: str) -> str:
    """Write ranges out."""
    if len(members) < 3 or members[1] != "-":
        return members[:1] + (spelled(members[1:]) if len(members) > 1 else "")
    between = range(ord(members[0]), ord(members[2]) + 1)
    return "".join(map(chr, between)) + spelled(members[3:])


@given(patterns, names)
@example("**", "a/b")
@example("**/a", "a")
@example("a/**/b", "a/b")
@example("[a-]", "-")
@example("[!-a]", "-")
@example("[]-a]", "^")
@example("[a", "[a")
@example("[/", "[/")
def test_pattern_fits_what_the_simple_matcher_fits(pattern: str, name: str) -> None:
    for candidate in (name, instance(pattern)):
        assert fits(pattern, candidate) == believed(pattern, candidate)


@given(patterns, names)
def test_folders_above_a_match_are_entered_and_its_prefix_listed(pattern: str, name: str) -> None:
    folder, rest = split_pattern(pattern)
    for candidate in (name, instance(pattern).removeprefix(folder)):
        if rest is not None and rest.matches(candidate):
            assert candidate.startswith(rest.prefix)
            parts = candidate.split("/")
            above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
            assert all(rest.may_contain(each) for each in above)


@given(st.text(min_size=1).filter(lambda text: "/" not in text))
def test_every_name_can_be_escaped(name: str) -> None:
    escaped = "".join(f"[{char}]" if char in "*?[" else char for char in name)

    assert split_pattern(f"x/{escaped}") == (f"x/{name}", None)


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("*.txt", ["a.txt", "a b.txt", "é.txt", "a\n.txt"], ["a/b.txt", ".txt", ".a.txt", "a.TXT"]),
        ("**/*.txt", ["a.txt", "x/y/a.txt"], [".x/a.txt", "x/.a.txt", "a.txt/b"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab/c", "a/.b", "a/.b/c"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["az", "a/.b/z", "a/z/z/y"]),
        ("**/.env", [".env", "a/.env"], ["a/b.env", ".a/.env"]),
        (".*", [".a", "."], ["a"]),
        ("?a", ["ba", "日a"], ["a", ".a", "bba"]),
        ("[a-c]1", ["a1", "c1"], ["d1", "-1"]),
        ("[!a]1", ["b1"], ["a1", ".1", "/1"]),
        ("[]]x*", ["]x", "]xy"], ["[x"]),
        ("[z-a]*", [], ["a", "z", "-"]),
        ("[[]1]*", ["[1]", "[1]x"], ["1", "[1"]),
        ("x*/", ["x/a", "xy/a/b"], ["x", "xy", "x/.a"]),
        ("**/**/a", ["a", "b/a"], ["b"]),
    ],
)
def test_wildcards(pattern: str, fitting: list[str], other: list[str]) -> None:
    assert [name for name in fitting if not fits(pattern, name)] == []
    assert [name for name in other if fits(pattern, name)] == []


@pytest.mark.parametrize(
    ("pattern", "folder", "prefix"),
    [
        ("a/b/*.txt", "a/b/", ""),
        ("a/x[[]*", "a/", "x["),
        ("/abs/**", "/abs/", ""),
        ("/*", "/", ""),
        ("year=2026-*/x", "", "year=2026-"),
        ("a//b*", "a//", "b"),
    ],
)
def test_certain_folder_and_prefix(pattern: str, folder: str, prefix: str) -> None:
    lead, rest = split_pattern(pattern)

    assert rest is not None
    assert (lead, rest.prefix) == (folder, prefix)


@pytest.mark.parametrize("pattern", ["**.txt", "a/x**", "***"])
def test_double_star_beside_other_characters_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"must stand alone between slashes; write \*\*/"):
        split_pattern(pattern)


def test_folders_that_cannot_match_are_not_entered() -> None:
    _, rest = split_pattern("a/[x]*/b/*.txt")

    assert rest is not None
    assert [rest.may_contain(folder) for folder in ("xy", "xy/b")] == [True, True]
    assert [rest.may_contain(folder) for folder in ("y", "x/c", "x/b/d")] == [False] * 3
    assert not EVERYTHING.may_contain(".git")
    assert not EVERYTHING.may_contain("a/.git")


def test_many_stars_match_quickly() -> None:
    assert not fits("**/" * 20 + "*x", "a/" * 40 + "b")
