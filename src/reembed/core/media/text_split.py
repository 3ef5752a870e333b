"""Cut a text into overlapping spans on paragraph, sentence and word boundaries, by token count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from reembed.core.media.tokens import estimate_tokens

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
    """Whether a text fits whole and has no white space to trim: most rows of tables are so."""
    if not text or len(text) > _SMALLEST_WINDOW or text[0].isspace() or text[-1].isspace():
        return False
    return estimate_tokens(text) <= sizes.max_tokens


def _spans(
    splitter: TextSplitter | MarkdownSplitter, text: str, base: int
) -> list[tuple[int, int]]:
    found = splitter.chunk_indices(text)
    return [(base + at, base + at + len(chunk)) for at, chunk in found]
