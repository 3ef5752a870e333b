"""Cutting texts: offsets, bounds, coverage, overlap, titles and what is refused."""

import io
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semantic_text_splitter import MarkdownSplitter, TextSplitter

from reembed.config.tasks import surrounding_text
from reembed.errors import RejectError
from reembed.formats.base import Input
from reembed.formats.charset import decode
from reembed.formats.table import format_named
from reembed.formats.text import SplitSizes, check_size, cut_extracted, split_text
from reembed.formats.tokens import estimate_tokens

SENTENCES = [f"This is sentence number {n} of a paragraph." for n in range(400)]
PROSE = "\n\n".join(" ".join(SENTENCES[n : n + 8]) for n in range(0, 400, 8))
WORDS = st.one_of(
    st.sampled_from(
        ["word", "Sentence end. ", "\n\n", "\r\n", "# Head\n", "- item\n", "    ", "🙂"]
    ),
    st.sampled_from(
        ["👨‍👩‍👧", "中文字。", "é", "e\u0301", "a" * 300, "```\n", "|a|b|\n", "\x1c", "\u3000"]
    ),
    st.text(max_size=20),
)
TEXTS = st.lists(WORDS, max_size=60).map("".join)
SIZES = st.tuples(st.integers(4, 80), st.integers(0, 60)).map(
    lambda pair: SplitSizes(pair[0], min(pair[1], pair[0] - 1))
)


def assert_spans_hold(text, spans, sizes):
    covered, before = 0, (-1, 0)
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert start > before[0]
        assert end > before[1]
        assert estimate_tokens(text[start:end]) <= sizes.max_tokens
        # Less is repeated than is new, in the splitter's own measure.
        assert estimate_tokens(text[start : before[1]]) <= sizes.overlap_tokens
        assert not text[covered:start].strip()
        covered, before = end, (start, end)
    assert not text[covered:].strip()


@settings(max_examples=300, deadline=None)
@given(TEXTS, SIZES, st.booleans())
def test_spans_are_bounded_ordered_and_cover_everything(text, sizes, markdown):
    spans = list(split_text(text, sizes, markdown))
    assert_spans_hold(text, spans, sizes)
    assert spans == list(split_text(text, sizes, markdown))


@pytest.mark.parametrize("markdown", [False, True])
@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "中" * 100_000, "👨‍👩‍👧" * 12_000, "x" + " " * 90_000 + "y", PROSE * 12],
    ids=["letters", "han", "emoji", "gap", "prose"],
)
def test_what_is_longer_than_a_window(text, markdown):
    sizes = SplitSizes(256, 32)
    spans = list(split_text(text, sizes, markdown))
    assert_spans_hold(text, spans, sizes)
    assert len(spans) > 1


def test_windows_leave_no_seam():
    sizes = SplitSizes(64, 0)
    text = PROSE * 6
    ends = {text[end - 1] for _, end in split_text(text, sizes, False)}
    assert ends == {"."}


def test_sizes_that_cannot_work_are_refused():
    for most, overlap in ((3, 0), (16, 16), (16, -1)):
        with pytest.raises(ValueError, match=f"max_tokens {most}, overlap_tokens {overlap}"):
            SplitSizes(most, overlap)


def cut_text(data, known, name, policy, title=None):
    return cut_extracted(io.BytesIO(data), Input(format_named(known), name, title), policy)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_offsets_cut_the_very_chunk_from_the_decoded_source(policy_of, encoding):
    data = ("Élan vital – “quoted”.\r\n" * 300).encode(encoding)
    pieces = cut_text(
        data, "text", "a.txt", policy_of(text={"max_tokens": 64, "overlap_tokens": 16})
    )
    text = decode(data).text
    assert len(pieces.pieces) > 5
    assert pieces.extracted is None
    for piece in pieces.pieces:
        assert piece.start is not None
        assert piece.end is not None
        assert text[int(piece.start) : int(piece.end)] == piece.text
        assert piece.unit == "char"
        assert piece.input_bytes == len(piece.text.encode())


def test_offsets_of_html_point_into_the_extracted_text(policy_of):
    page = "<html><title>T</title><body>" + "".join(f"<p>{s}</p>" for s in SENTENCES)
    pieces = cut_text(
        page.encode(), "html", "a.html", policy_of(text={"max_tokens": 64, "overlap_tokens": 16})
    )
    assert pieces.title == "T"
    assert pieces.extracted is not None
    assert all(s in pieces.extracted for s in SENTENCES)
    for piece in pieces.pieces:
        assert piece.start is not None
        assert piece.end is not None
        assert pieces.extracted[int(piece.start) : int(piece.end)] == piece.text
        assert piece.mime_type == "text/html"


def test_chunks_overlap_by_sentences(policy_of):
    policy = policy_of(text={"max_tokens": 120, "overlap_tokens": 40})
    pieces = cut_text(PROSE.encode(), "text", "a.txt", policy).pieces
    overlaps = [a.end - b.start for a, b in pairwise(pieces)]
    assert max(overlaps) > 0
    assert all(piece.text.startswith("This is sentence") for piece in pieces)
    assert all(piece.text.endswith(".") for piece in pieces)


def limited(policy, limit):
    """The policy under a model of another limit, as an override could leave it."""
    text = policy.spec.text.model_copy(update={"max_tokens": limit})
    return replace(policy, spec=policy.spec.model_copy(update={"text": text}))


@pytest.mark.parametrize("model", ["gemini-embedding-2", "gemini-embedding-001"])
@pytest.mark.parametrize("task", ["retrieval_document", "question_answering"])
@pytest.mark.parametrize("limit", [40, 600, 2048])
def test_a_request_never_exceeds_the_models_limit(policy_of, model, task, limit):
    sizes = {"max_tokens": 2048, "overlap_tokens": 2000}
    policy = limited(policy_of(model={"name": model, "task": task}, text=sizes), limit)
    title = "🙂 A long title" * 10
    pieces = cut_text((PROSE * 3).encode(), "text", "a.txt", policy, title)
    for piece in pieces.pieces:
        words = surrounding_text(policy.spec.task_style, task, pieces.title)
        assert estimate_tokens(words) + estimate_tokens(str(piece.text)) < piece.tokens <= limit
    assert (pieces.title is None) == (limit == 40 and task == "retrieval_document")


def test_a_limit_without_room_for_text_is_said(policy_of):
    with pytest.raises(RejectError, match=r"10 tokens.*raise model\.limits\.text\.max_tokens"):
        cut_text(b"word", "text", "a.txt", limited(policy_of(), 10))


@pytest.mark.parametrize(
    ("data", "name", "given", "title"),
    [
        (b"# Head\n\ntext", "a.md", None, "Head"),
        (b"# Head\n\ntext", "a.md", "Given | one", "Given / one"),
        (b"Words only.", "dir/some_name.txt", None, "some name"),
        (b"<h1>Page</h1><p>x", "a.html", None, "Page"),
    ],
)
def test_titles(policy_of, data, name, given, title):
    known = {"md": "markdown", "txt": "text", "html": "html"}[name.rpartition(".")[2]]
    assert cut_text(data, known, name, policy_of(), given).title == title
    off = policy_of(text={"title": False})
    assert cut_text(data, known, name, off, given).title is None


def test_markdown_is_cut_at_its_headings(policy_of):
    text = "\n\n".join(f"# Part {n}\n\n" + " ".join(SENTENCES[:3]) for n in range(9))
    policy = policy_of(text={"max_tokens": 80, "overlap_tokens": 0})
    pieces = cut_text(text.encode(), "markdown", "a.md", policy).pieces
    assert {piece.mime_type for piece in pieces} == {"text/markdown"}
    assert all(piece.text.startswith("# Part") for piece in pieces)


@pytest.mark.parametrize(
    ("data", "known", "code"),
    [
        (b"", "text", "empty_file"),
        (b" \n\t\r\n", "text", "blank_text"),
        ("\ufeff".encode(), "text", "blank_text"),
        ("\u200b\u200d \u3000".encode(), "text", "blank_text"),
        (b"\x00\x01\x02" * 50, "text", "not_text"),
        (b"<html><body><script>x</script></body></html>", "html", "blank_text"),
    ],
)
def test_what_is_refused(policy_of, data, known, code):
    with pytest.raises(RejectError) as caught:
        cut_text(data, known, "a.txt", policy_of())
    assert caught.value.code == code


def test_what_is_too_large_is_refused_before_it_is_read():
    for name, most in (("text", 200_000_000), ("markdown", 200_000_000), ("html", 50_000_000)):
        known = format_named(name)
        check_size(known, most)
        with pytest.raises(RejectError, match=f"{most + 1:,} bytes"):
            check_size(known, most + 1)


def test_a_broken_byte_is_a_warning(policy_of):
    data = ("Привет, мир. " * 30).encode() + b"\xd0"
    pieces = cut_text(data, "text", "a.txt", policy_of())
    assert pieces.warnings == ("1 broken UTF-8 sequence(s), the first at byte 660, became U+FFFD",)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80), st.booleans())
def test_a_text_that_fits_is_cut_as_the_splitter_cuts_it(text, markdown):
    sizes = SplitSizes(400, 40)
    kind = MarkdownSplitter if markdown else TextSplitter
    splitter = kind.from_callback(estimate_tokens, sizes.max_tokens, sizes.overlap_tokens)
    found = [(at, at + len(chunk)) for at, chunk in splitter.chunk_indices(text)]
    assert list(split_text(text, sizes, markdown)) == found
