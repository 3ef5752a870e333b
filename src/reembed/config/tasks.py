"""Embedding tasks: text around the content for some models, a request field for others."""

from __future__ import annotations

import unicodedata
from typing import Literal

TaskStyle = Literal["prefix", "field"]

DOCUMENT_TASK = "retrieval_document"
# A longer title improves no search and takes tokens from the chunk.
MAX_TITLE_CHARS = 200
NO_TITLE = "none"

# The vendor's table of task texts for gemini-embedding-2, query side (document side: wrap_text).
QUERY_NAMES = {
    "retrieval_query": "search result",
    "question_answering": "question answering",
    "fact_verification": "fact checking",
    "code_retrieval_query": "code retrieval",
    "classification": "classification",
    "clustering": "clustering",
    "semantic_similarity": "sentence similarity",
}

# Tasks whose both sides are embedded alike; all others are asymmetric, query against document.
SYMMETRIC_TASKS = ("classification", "clustering", "semantic_similarity")


def clean_title(title: str | None) -> str | None:
    """Make a title fit for one line of the request.

    Control characters and newlines become spaces, runs of spaces one; "|" becomes "/", since it
    parts the fields of ``title: … | text: …``; what is longer than 200 characters is cut at a
    word. None if nothing printable is left.
    """
    if not title:
        return None
    line = title[: 20 * MAX_TITLE_CHARS]
    if not line.isprintable():
        line = "".join(" " if _breaks_line(c) else c for c in line)
    cleaned = " ".join(line.replace("|", "/").split())
    if len(cleaned) > MAX_TITLE_CHARS:
        cut = cleaned[: MAX_TITLE_CHARS - 1]
        cleaned = (cut[: cut.rfind(" ")] if " " in cut[100:] else cut).rstrip() + "…"
    return cleaned if has_content(cleaned) else None


def has_content(text: str) -> bool:
    """Tell whether anything but white space, control and format characters is in a text."""
    return any(not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf") for c in text)


def _breaks_line(character: str) -> bool:
    # Format characters stay: joiners belong to Persian words and to emoji.
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def wrap_text(style: TaskStyle, task: str, title: str | None, text: str) -> str:
    """Put the task's prefix around a text, as it will be sent.

    With style ``field`` the text is sent as it is and the task stands in a field of the request.

    Raises:
        ValueError: the task is unknown.
    """
    if style == "field":
        return text
    if task == DOCUMENT_TASK:
        return f"title: {clean_title(title) or NO_TITLE} | text: {text}"
    if task not in QUERY_NAMES:
        raise ValueError(f"task {task!r} has no words; use one of {', '.join(all_tasks())}")
    return f"task: {QUERY_NAMES[task]} | query: {text}"


def surrounding_text(style: TaskStyle, task: str, title: str | None) -> str:
    """Return the text that the service counts beside the content: task prefix, or title."""
    if style == "field":
        return clean_title(title) or "" if task == DOCUMENT_TASK else ""
    return wrap_text(style, task, title, "")


def all_tasks() -> tuple[str, ...]:
    """Every task that has words."""
    return (DOCUMENT_TASK, *QUERY_NAMES)
