"""Embedding tasks: text around the content for some models, a request field for others."""

from __future__ import annotations

import re
from typing import Literal

TaskStyle = Literal["prefix", "field"]

DOCUMENT_TASK = "retrieval_document"
# Titles beyond this help nobody find anything and eat into the chunk's own tokens.
MAX_TITLE_CHARS = 256
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

_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean_title(title: str | None) -> str:
    """Make a title safe to stand in one line before a ``|``; empty when nothing is left.

    White space and control characters become one space, ``|`` becomes ``/`` (it separates title
    from text), lone surrogates (undecodable file names) become U+FFFD, and what is longer than
    `MAX_TITLE_CHARS` characters is cut.
    """
    if not title:
        return ""
    line = _SPACE_OR_CONTROL.sub(" ", _SURROGATE.sub("\ufffd", title)).replace("|", "/")
    return line.strip()[:MAX_TITLE_CHARS].rstrip()


def wrap_text(style: TaskStyle, task: str, title: str | None, text: str) -> str:
    """Put the task's words around a text, as it will be sent.

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
    """The text that the service counts beside the content: the task's words, or the title."""
    if style == "field":
        return clean_title(title) if task == DOCUMENT_TASK else ""
    return wrap_text(style, task, title, "")


def all_tasks() -> tuple[str, ...]:
    """Every task that has words."""
    return (DOCUMENT_TASK, *QUERY_NAMES)
