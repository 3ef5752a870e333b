"""Cut texts, and the readable text of HTML, into chunks that the model takes whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from reembed.config.tasks import clean_title, has_content, surrounding_text
from reembed.errors import RejectError
from reembed.formats.base import Extracted, Format, Input
from reembed.formats.charset import decode
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import format_named
from reembed.formats.titles import title_of_name, title_of_text
from reembed.formats.tokens import estimate_tokens
from reembed.types import Piece, Pieces

# The splitter looks for sentences anew in all that is left of a stretch without a boundary
# (100,000 Han characters in a row take it 1.3 s, a million two minutes): it gets windows.
_WINDOW_CHUNKS = 16
_SMALLEST_WINDOW = 1 << 15


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """Estimated tokens of a span and of what it repeats of the one before.

    Raises:
        ValueError: a span could not hold one character, or the overlap is not below the size.
    """

    max_tokens: int
    overlap_tokens: int

    def __post_init__(self) -> None:
        if self.max_tokens < 4 or not 0 <= self.overlap_tokens < self.max_tokens:
            raise ValueError(
                f"max_tokens {self.max_tokens}, overlap_tokens {self.overlap_tokens}: give at "
                "least 4, and an overlap below it"
            )


def split_text(text: str, sizes: SplitSizes, markdown: bool) -> Iterator[tuple[int, int]]:
    """Yield spans (start, end) in characters, in order; ``text[start:end]`` is the chunk.

    Each span's estimate is at most `sizes.max_tokens`, starts and ends grow strictly, and every
    character but white space is in at least one span. The boundaries are those of
    semantic-text-splitter (Unicode sentences and words, line breaks; CommonMark for Markdown).
    """
    if _is_one_span(text, sizes):
        yield 0, len(text)
        return
    kind = MarkdownSplitter if markdown else TextSplitter
    splitter = kind.from_callback(estimate_tokens, sizes.max_tokens, sizes.overlap_tokens)
    smallest = max(_SMALLEST_WINDOW, _WINDOW_CHUNKS * sizes.max_tokens)
    start, window = 0, smallest
    while start < len(text):
        stop = start + window
        spans = _spans(splitter, text[start:stop], start)
        if stop >= len(text):
            yield from spans
            return
        if len(spans) < 2:
            # One chunk, or none, in all of a window: it is mostly white space.
            window *= 2
            continue
        # The last one ends where the window does, not at a boundary: it is cut again.
        yield from spans[:-1]
        start, window = spans[-1][0], smallest


def _is_one_span(text: str, sizes: SplitSizes) -> bool:
    """Tell whether a text fits whole and has no white space to trim, as most rows of tables."""
    if not text or len(text) > _SMALLEST_WINDOW or text[0].isspace() or text[-1].isspace():
        return False
    return estimate_tokens(text) <= sizes.max_tokens


def _spans(
    splitter: TextSplitter | MarkdownSplitter, text: str, base: int
) -> list[tuple[int, int]]:
    found = splitter.chunk_indices(text)
    return [(base + at, base + at + len(chunk)) for at, chunk in found]


# The tokenizer frames each request with marks of beginning and end.
_FRAME_TOKENS = 2
_LEAST_TOKENS = 4  # one character of four bytes


def extract_text(data: bytes) -> Extracted:
    """Decode a plain text.

    Raises:
        RejectError: ``not_text``.
    """
    return _decoded(data, markdown=False)


def extract_markdown(data: bytes) -> Extracted:
    """Decode a text in Markdown.

    Raises:
        RejectError: ``not_text``.
    """
    return _decoded(data, markdown=True)


def _decoded(data: bytes, markdown: bool) -> Extracted:
    decoded = decode(data)
    return Extracted(
        text=decoded.text,
        title=title_of_text(decoded.text, markdown),
        warnings=(decoded.warning,) if decoded.warning else (),
        markdown=markdown,
        is_source=True,
    )


def cut_extracted(source: BinaryIO, file: Input, policy: ChunkPolicy) -> Pieces:
    """Cut a file of a format that gives text.

    Args:
        source: the file, seekable.
        file: its format; the stem of its name is the last resort for a title, and the title that
            was given with it goes before one that is found in it.
        policy: sizes and the model's limit.

    Returns:
        Pieces with character offsets (half-open) into the decoded source, or into `extracted`
        where the text is another. A piece's text is at most ``chunking.text.max_tokens``; its
        `tokens` count the task's words and the title too and never exceed the model's limit.

    Raises:
        RejectError: ``empty_file``, ``too_large``, ``blank_text``, ``limit_too_small``, and the
            codes of the format.
    """
    known = file.format
    assert known.extract is not None, f"{known.name} gives no text"
    # Before it is read: a dump of gigabytes would take the worker's memory.
    check_size(known, source.seek(0, os.SEEK_END))
    source.seek(0)
    found = known.extract(source.read())
    if not has_content(found.text):
        lack = "only white space" if found.is_source else "no readable text is in it"
        raise RejectError("blank_text", f"there is nothing to embed: {lack}; remove the file")
    title, sizes = _fit(file.title or found.title or title_of_name(file.name), policy)
    around = tokens_around(title, policy)
    spans = split_text(found.text, sizes, found.markdown)
    return Pieces(
        pieces=tuple(_piece(found.text, span, known.mime_type, around) for span in spans),
        title=title,
        extracted=None if found.is_source else found.text,
        warnings=found.warnings,
    )


def cut_plain(text: str, title: str | None, policy: ChunkPolicy) -> Pieces:
    """Cut a text that comes as text, from a table or a manifest.

    Args:
        text: decoded already.
        title: given with the item, the only one.
        policy: sizes and the model's limit.

    Raises:
        RejectError: ``too_large``, ``blank_text``, ``text_not_unicode``, ``limit_too_small``.
    """
    plain = format_named("text")
    check_size(plain, text_size(text))
    kept, sizes = _fit(title, policy)
    around = tokens_around(kept, policy)
    spans = split_text(text, sizes, False)
    pieces = tuple(_piece(text, span, plain.mime_type, around) for span in spans)
    return Pieces(pieces=pieces, title=kept)


def text_size(text: str) -> int:
    """Count the UTF-8 bytes of a text that came as text.

    Raises:
        RejectError: ``text_not_unicode``, ``blank_text``.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as err:
        raise RejectError(
            "text_not_unicode",
            f"the text holds code points that UTF-8 cannot carry ({err.reason}); decode it anew",
        ) from err
    if not has_content(text):
        raise RejectError("blank_text", "there is nothing to embed: only white space")
    return size


def check_size(known: Format, size: int) -> None:
    """Refuse what is empty or too large before it is read.

    Raises:
        RejectError: ``empty_file``, ``too_large``.
    """
    if size == 0:
        raise RejectError("empty_file", "the file has no bytes; write it again, or remove it")
    if size > known.max_bytes:
        raise RejectError(
            "too_large",
            f"{size:,} bytes of text are above the {known.max_bytes:,} that are read at once; "
            "split the file into documents",
        )


def _fit(title: str | None, policy: ChunkPolicy) -> tuple[str | None, SplitSizes]:
    """Clean the title and size the chunks so that both fit into one request.

    A title that would take more than half of the model's limit is left out.
    """
    wanted, limit = policy.chunking.text, policy.spec.text.max_tokens
    kept = clean_title(title) if wanted.title else None
    if kept and 2 * tokens_around(kept, policy) > limit:
        kept = None
    most = min(wanted.max_tokens, limit - tokens_around(kept, policy))
    if most < _LEAST_TOKENS:
        raise RejectError(
            "limit_too_small",
            f"the model's limit of {limit} tokens leaves no room beside the task's own words; "
            "raise model.limits.text.max_tokens",
        )
    return kept, SplitSizes(most, min(wanted.overlap_tokens, most // 2))


def tokens_around(title: str | None, policy: ChunkPolicy) -> int:
    """Estimate the tokens of a request beside the chunk's own text: the task's words, the frame."""
    words = surrounding_text(policy.spec.task_style, policy.task, title)
    return estimate_tokens(words) + _FRAME_TOKENS


def _piece(text: str, span: tuple[int, int], mime_type: str, around: int) -> Piece:
    start, end = span
    chunk = text[start:end]
    return Piece(
        modality="text",
        mime_type=mime_type,
        tokens=estimate_tokens(chunk) + around,
        input_bytes=len(chunk.encode("utf-8")),
        start=start,
        end=end,
        unit="char",
        text=chunk,
    )
