"""Open PDFs with the library's errors translated; check repaired files and unused resources."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pikepdf

from reembed.errors import RejectError

# What the library raises on damaged input: its own, and Python's for values of a wrong kind.
PDF_ERRORS = (
    pikepdf.PdfError,
    pikepdf.DependencyError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    AssertionError,
)
_REFERENCE = re.compile(rb"\b(\d{1,7}) (\d{1,5}) R\b")
_BEGUN_OBJECT = re.compile(rb"\b\d{1,10}\s+\d{1,5}\s+obj\b")
_LONGEST_REFERENCE = 24
_TRAILER = 2048
_BLOCK = 1 << 16
# Documents up to this are read at once: the library asks for them in hundreds of small pieces.
_AT_ONCE = 4 << 20
# A page whose drawing commands are above this when inflated is a decompression bomb.
_MOST_CONTENT = 1 << 28
_FLATE = pikepdf.Name.FlateDecode


@contextmanager
def open_pdf(source: BinaryIO) -> Iterator[Any]:
    """Give the opened document; errors inside the block are translated too.

    A file that is encrypted with an empty user password opens, as in every reader.

    Raises:
        RejectError: ``pdf_encrypted``, ``pdf_damaged``.
    """
    try:
        with pikepdf.open(_at_hand(source)) as pdf:
            yield pdf
    except pikepdf.PasswordError as err:
        raise RejectError(
            "pdf_encrypted", "the PDF asks for a password; save it without one"
        ) from err
    except PDF_ERRORS as err:
        raise damaged(_said(err)) from err


def _at_hand(source: BinaryIO) -> BinaryIO:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return io.BytesIO(source.read()) if size <= _AT_ONCE else source


def damaged(reason: str) -> RejectError:
    """Make the reject of a PDF that cannot be used."""
    return RejectError(
        "pdf_damaged", f"the PDF is damaged ({reason}); get the file again or print it anew"
    )


def check_pages(pdf: Any, source: BinaryIO) -> bool:
    """Load every page; say whether the library had to repair the file.

    Raises:
        RejectError: ``pdf_no_pages``, or ``pdf_damaged`` where a page, or the end of a file that
            was cut short, is not whole.
    """
    declared = pdf.Root.Pages.get("/Count")
    pages = list(pdf.pages)
    if not pages:
        raise RejectError("pdf_no_pages", "the PDF has no pages; make it anew")
    if isinstance(declared, int) and declared > len(pages):
        raise damaged(f"{declared} pages are declared, {len(pages)} found")
    for number, page in enumerate(pages, start=1):
        _check_content(number, page)
    repaired = was_repaired(pdf)
    if repaired:
        _check_repaired(pdf, source)
    return repaired


def was_repaired(pdf: Any) -> bool:
    """Say whether the library searched a file for its objects since this was last asked."""
    return any("reconstruct" in str(told) for told in pdf.get_warnings())


def _said(err: Exception) -> str:
    # The library begins with the representation of the Python stream, which tells nobody anything.
    text = re.sub(r"^stream <[^>]*>:?\s*", "", str(err))
    return text or type(err).__name__


def _check_content(number: int, page: Any) -> None:
    if not isinstance(page.obj, pikepdf.Dictionary):
        raise damaged(f"page {number} is missing")
    content: Any = page.obj.get("/Contents", [])
    streams = [content] if isinstance(content, pikepdf.Stream) else list(content)
    inflated = 0
    for stream in streams:
        if isinstance(stream, pikepdf.Stream) and _is_plain_flate(stream):
            inflated += _inflated_bytes(number, stream.read_raw_bytes(), _MOST_CONTENT - inflated)


def _is_plain_flate(stream: Any) -> bool:
    filters = stream.get("/Filter")
    if isinstance(filters, pikepdf.Array):
        filters = filters[0] if len(filters) == 1 else None
    return filters == _FLATE and "/DecodeParms" not in stream


def _inflated_bytes(number: int, raw: bytes, most: int) -> int:
    """Inflate without keeping; a wrong checksum at the end loses nothing and is forgiven."""
    inflater, count, rest = zlib.decompressobj(), 0, raw
    while rest and not inflater.eof:
        try:
            count += len(inflater.decompress(rest, _BLOCK))
        except zlib.error as err:
            if "incorrect data check" in str(err):
                return count
            raise damaged(f"page {number} does not inflate: {err}") from err
        if count > most:
            raise damaged(f"page {number} inflates to more than {_MOST_CONTENT} bytes")
        rest = inflater.unconsumed_tail
    return count


def _check_repaired(pdf: Any, source: BinaryIO) -> None:
    """Refuse a file that was cut short: a repair puts nothing in place of what is lost.

    Lost objects read as null, and null as absent, so they show only in the file's own text.
    """
    end = source.seek(0, os.SEEK_END)
    source.seek(max(0, end - _TRAILER))
    if b"startxref" in source.read():
        return
    if _ends_within_object(source):
        raise damaged("it is cut short")
    for number, generation in sorted(_named_objects(source)):
        if pdf.get_object(number, generation) is None:
            raise damaged(f"it is cut short, object {number} is missing")


def _named_objects(source: BinaryIO) -> set[tuple[int, int]]:
    """Collect what the uncompressed part of the file refers to."""
    found: set[tuple[int, int]] = set()
    source.seek(0)
    rest = b""
    while block := source.read(_BLOCK):
        text = rest + block
        found.update((int(m[1]), int(m[2])) for m in _REFERENCE.finditer(text))
        rest = text[-_LONGEST_REFERENCE:]
    return found


def _ends_within_object(source: BinaryIO) -> bool:
    """Say whether an object begins after the last one that ends; the index itself may be cut."""
    at = source.seek(0, os.SEEK_END)
    tail = b""
    while at > 0:
        step = min(_BLOCK, at)
        at -= step
        source.seek(at)
        tail = source.read(step) + tail
        found = tail.rfind(b"endobj")
        if found >= 0:
            rest = tail[found:]
            return bool(_BEGUN_OBJECT.search(rest)) and b"/XRef" not in rest
    return True


# To look through a page takes a twentieth of what it takes to prune one, and a piece has few.
_MOST_PAGES = 100
_DEEPEST = 8


def must_be_pruned(pdf: Any) -> bool:
    """Tell whether pages may name images, forms or fonts that they do not use.

    To find what a page uses its drawing commands are parsed, which takes longer than all else of a
    cut. Programs that write PDFs name for each page what it uses, unless they keep one dictionary
    for several pages: the rule by which qpdf decides in its mode ``auto``. A image or a form
    that is named twice counts too, since each page may name those of all.
    """
    if len(pdf.pages) > _MOST_PAGES:
        return True
    seen: set[tuple[int, int]] = set()
    return any(_is_shared(thing, seen) for page in pdf.pages for thing in _named(page.obj))


def _named(node: Any, depth: int = 0) -> Iterator[Any]:
    """What a page or form names: its dictionary of resources, their large ones, those of forms.

    None stands for a dictionary that is not its own.
    """
    resources = node.get("/Resources")
    if not isinstance(resources, pikepdf.Dictionary):
        # A page inherits it; a form may do without.
        yield from () if depth else (None,)
        return
    yield resources
    large = resources.get("/XObject")
    if isinstance(large, pikepdf.Dictionary):
        yield large
        for thing in large.as_dict().values():
            yield thing
            if isinstance(thing, pikepdf.Stream) and thing.get("/Subtype") == pikepdf.Name.Form:
                yield from _named(thing, depth + 1) if depth < _DEEPEST else (None,)


def _is_shared(thing: Any, seen: set[tuple[int, int]]) -> bool:
    if thing is None:
        return True
    if not thing.is_indirect:
        return False
    known = thing.objgen in seen
    seen.add(thing.objgen)
    return known
