"""Cut texts, and the readable text of HTML, into chunks that the model takes whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from reembed.config.tasks import surrounding_text
from reembed.errors import RejectError
from reembed.formats.charset import decode
from reembed.formats.html import extract_html
from reembed.formats.policy import ChunkPolicy
from reembed.formats.titles import clean_title, has_content, title_of_name, title_of_text
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
    """Whether a text fits whole and has no white space to trim: most rows of tables are so."""
    if not text or len(text) > _SMALLEST_WINDOW or text[0].isspace() or text[-1].isspace():
        return False
    return estimate_tokens(text) <= sizes.max_tokens


def _spans(
    splitter: TextSplitter | MarkdownSplitter, text: str, base: int
) -> list[tuple[int, int]]:
    found = splitter.chunk_indices(text)
    return [(base + at, base + at + len(chunk)) for at, chunk in found]


MAX_TEXT_BYTES = 200_000_000
"""Beyond this a file is a dump rather than a document, and cutting it takes gigabytes."""
MAX_HTML_BYTES = 50_000_000
"""A parsed page takes some twenty times its bytes."""

# The tokenizer frames each request with marks of beginning and end.
_FRAME_TOKENS = 2
_LEAST_TOKENS = 4  # one character of four bytes
_MARKDOWN_NAMES = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")


def cut_text(
    data: bytes, family: str, name: str, policy: ChunkPolicy, title: str | None = None
) -> Pieces:
    """Cut a text.

    Args:
        data: the whole file.
        family: ``text`` or ``html``, as `recognise` says.
        name: its name: Markdown is told by it, and its stem is the last resort for a title.
        policy: sizes and the model's limit.
        title: given with the item; goes before what is found in the text.

    Returns:
        Pieces with character offsets (half-open) into the decoded source, or into `extracted`
        for HTML. A piece's text is at most ``chunking.text.max_tokens``; its `tokens` count the
        task's words and the title too and never exceed the model's limit.

    Raises:
        RejectError: ``empty_file``, ``too_large``, ``not_text``, ``blank_text``,
            ``html_unreadable``, ``limit_too_small``.
    """
    check_size(family, len(data))
    markdown = name.lower().endswith(_MARKDOWN_NAMES)
    if family == "html":
        page = extract_html(data)
        text, found, warnings = page.text, page.title, page.warnings
    else:
        decoded = decode(data)
        text, warnings = decoded.text, (decoded.warning,) if decoded.warning else ()
        found = title_of_text(text, markdown)
    if not has_content(text):
        what = "no readable text is in the page" if family == "html" else "only white space"
        raise RejectError("blank_text", f"there is nothing to embed: {what}; remove the file")
    kept, sizes = _fit(title or found or title_of_name(name), policy)
    around = tokens_around(kept, policy)
    spans = split_text(text, sizes, markdown and family == "text")
    mime_type = _mime_type(family, markdown)
    return Pieces(
        pieces=tuple(_piece(text, span, mime_type, around) for span in spans),
        title=kept,
        extracted=text if family == "html" else None,
        warnings=warnings,
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
    check_size("text", text_size(text))
    kept, sizes = _fit(title, policy)
    around = tokens_around(kept, policy)
    spans = split_text(text, sizes, False)
    pieces = tuple(_piece(text, span, "text/plain", around) for span in spans)
    return Pieces(pieces=pieces, title=kept)


def text_size(text: str) -> int:
    """The bytes of a text that came as text.

    Raises:
        RejectError: ``text_not_unicode``, ``blank_text``.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as err:
        raise RejectError(
            "text_not_unicode",
            f"the text holds code points that UTF-8 cannot carry ({err.reason}); mend it",
        ) from err
    if not has_content(text):
        raise RejectError("blank_text", "there is nothing to embed: only white space")
    return size


def check_size(family: str, size: int) -> None:
    """Refuse what is empty or too large before it is read.

    Raises:
        RejectError: ``empty_file``, ``too_large``.
    """
    if size == 0:
        raise RejectError("empty_file", "the file has no bytes; write it again, or remove it")
    most = MAX_HTML_BYTES if family == "html" else MAX_TEXT_BYTES
    if size > most:
        raise RejectError(
            "too_large",
            f"{size:,} bytes of text are above the {most:,} that are read at once; "
            "split the file into documents",
        )


def _mime_type(family: str, markdown: bool) -> str:
    if family == "html":
        return "text/html"
    return "text/markdown" if markdown else "text/plain"


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
    """The tokens of a request beside the chunk's own text: the task's words, the frame."""
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
