"""Words that were retired do not come back, neither as names nor in sentences.

The README's glossary is the one list of words in use.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]

# A part of a name (`open_teller` has two) → the word that is used instead.
NAMES = {
    "told": "notified",
    "teller": "notifier",
    "news": "is_noop",
    "together": "concurrent",
    "voice": "console",
    "grown": "layered_map",
    "judge": "classify_failure",
    "twin": "duplicate",
    "twins": "duplicates",
    "stripe": "partition",
    "stripes": "partitions",
    "sink": "destination",
    "sinks": "destinations",
    "world": "shared",
    "tools": "context",
    "warehouse": "bigquery",
    "paper": "pdf",
    "papers": "pdf",
    "film": "video",
    "films": "video",
    "sounds": "audio",
    "picture": "image",
    "pictures": "image",
    "placed": "uri_rows",
    "said": "message, line or report",
}
# A word or phrase of a sentence → what is written instead.
SENTENCES = {
    r"stripes?": "partition",
    r"sinks?": "destination",
    r"hand(s|ed|ing)?[- ]over": "publish",
    r"hand-overs?": "publication",
    r"films?": "video",
    r"papers": "PDFs",
    r"twins?": "duplicate job",
    r"spend log": "reservation log",
}
_SENTENCE = re.compile(rf"\b({'|'.join(SENTENCES)})\b", re.IGNORECASE)


def names_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield (node.id if isinstance(node, ast.Name) else node.attr), node.lineno


def words_of(name: str) -> list[str]:
    """The words of a snake_case or CamelCase name."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def sentences_of(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of prose: of a document without its code, of a module its docstrings and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = re.sub(
            r"```.*?```|`[^`\n]*`|\]\([^)]*\)",
            lambda m: re.sub(r"[^\n]", " ", m[0]),
            text,
            flags=re.S,
        )
        yield from enumerate(text.splitlines(), 1)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node)
            if said:
                yield getattr(node, "lineno", 1), said
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("# "):
            yield number, line


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "src").as_posix())
def test_no_retired_word_in_a_name(path: Path) -> None:
    found = [
        f"{path.name}:{line}: {name}: say {NAMES[word]}"
        for name, line in names_of(ast.parse(path.read_text(encoding="utf-8")))
        for word in words_of(name)
        if word in NAMES
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, *SOURCES], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_no_retired_word_in_a_sentence(path: Path) -> None:
    found = [
        f"{path.name}:{line}: {match[0]!r}: {' '.join(text.split())[:80]}"
        for line, text in sentences_of(path)
        for match in _SENTENCE.finditer(re.sub(r"`[^`]*`", "", text))
    ]
    assert not found, "\n".join(found)


def test_the_check_itself_finds_what_it_is_for() -> None:
    tree = ast.parse("def open_teller(films): self.stripe = TwinJob = 1")
    found = {word for name, _ in names_of(tree) for word in words_of(name) if word in NAMES}
    assert found == {"teller", "films", "stripe", "twin"}
    assert _SENTENCE.search("Hand over a settled run")
    assert not _SENTENCE.search("The partition is written")


def test_the_glossary_defines_no_retired_word() -> None:
    glossary = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Words\n")[1]
    rows = re.findall(r"^\| ([^|]+) \|", glossary.split("\n## ")[0], re.MULTILINE)
    words = {word.strip() for row in rows[2:] for word in row.split(",")}
    assert len(words) > 8, "the glossary was not found"
    assert not words & set(NAMES)
