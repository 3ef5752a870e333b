"""Cut PDFs at pages; a piece that is not the whole file is a small PDF of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import pikepdf

from reembed.config.models import PdfLimits
from reembed.errors import RejectError
from reembed.formats.pdf_open import PDF_ERRORS, check_pages, must_be_pruned, open_pdf, was_repaired
from reembed.formats.policy import ChunkPolicy
from reembed.types import Piece, Pieces, Recipe

PDF = "application/pdf"
_LONGEST_TITLE = 300
_REPAIR = ("repair", "1")


def cut_pdf(source: BinaryIO, policy: ChunkPolicy) -> Pieces:
    """Cut a PDF into pieces of at most the configuration's and the model's pages.

    A file that is encrypted with an empty password, was repaired, or has bytes before its header
    is written anew even when it is short enough, since the service may not read it.

    Raises:
        RejectError: ``pdf_encrypted``, ``pdf_damaged``, ``pdf_no_pages``, ``media_too_large``.
    """
    limits = policy.spec.pdf
    if limits is None:
        raise RejectError("modality_unsupported", f"{policy.spec.name} takes no PDF")
    size = source.seek(0, os.SEEK_END)
    with open_pdf(source) as pdf:
        repaired = check_pages(pdf, source)
        pages, title, encrypted = len(pdf.pages), _title(pdf), bool(pdf.is_encrypted)
        most = min(policy.chunking.pdf.max_pages, limits.max_pages)
        plain = not repaired and not encrypted and _begins_as_pdf(source)
        if plain and pages <= most and size <= policy.max_media_bytes:
            whole = _piece(limits, (1, pages), Recipe("as_is", PDF), size)
            return Pieces((whole,), title=title)
        pieces: tuple[Piece, ...] = ()
        if not repaired:
            prune = must_be_pruned(pdf)
            pieces = _cut(
                pages, policy, limits, lambda recipe: _write(pdf, recipe, _scales(), prune)
            )
            repaired = was_repaired(pdf)
    if repaired:
        # What a repair finds depends on what was read before: weigh as it will be rendered.
        pieces = _cut(pages, policy, limits, lambda recipe: len(render_pdf(recipe, source)), True)
    return Pieces(pieces, title=title, notes=_notes(encrypted, repaired))


def render_pdf(recipe: Recipe, source: BinaryIO) -> bytes:
    """Write the pages of a recipe as a PDF of their own.

    Raises:
        RejectError: ``pdf_encrypted``, ``pdf_damaged``, or ``media_changed`` where the pages are
            not there.
    """
    with open_pdf(source) as pdf:
        if _REPAIR in recipe.options:
            check_pages(pdf, source)
        if (recipe.end or 1) > len(pdf.pages):
            raise RejectError(
                "media_changed",
                f"pages {recipe.start:.0f} to {recipe.end:.0f} were planned, the PDF has "
                f"{len(pdf.pages)} now; plan again",
            )
        out = io.BytesIO()
        _write(pdf, recipe, out, must_be_pruned(pdf))
    return out.getvalue()


def page_spans(pages: int, most: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Give 1-based inclusive ranges of at most `most` pages, sharing `overlap` with the next.

    An overlap that only a larger size could bear is brought to half of the size.
    """
    shared = overlap if overlap < most else most // 2
    first = last = 1
    while True:
        last = min(pages, first + most - 1)
        yield first, last
        if last == pages:
            return
        first = last + 1 - shared


def _cut(
    pages: int,
    policy: ChunkPolicy,
    limits: PdfLimits,
    weigh: Callable[[Recipe], int],
    repair: bool = False,
) -> tuple[Piece, ...]:
    """Cut; where a piece is too heavy, all are cut with fewer pages."""
    most = min(policy.chunking.pdf.max_pages, limits.max_pages)
    options = (_REPAIR,) if repair else ()
    while most:
        pieces = []
        for span in page_spans(pages, most, policy.chunking.pdf.overlap_pages):
            recipe = Recipe("pdf", PDF, float(span[0]), float(span[1]), options)
            weight = weigh(recipe)
            if weight > policy.max_media_bytes:
                break
            pieces.append(_piece(limits, span, recipe, weight))
        else:
            return tuple(pieces)
        most //= 2
    raise RejectError(
        "media_too_large",
        f"page {span[0]} alone weighs {weight} bytes, above the {policy.max_media_bytes} that fit "
        "a request; make its images smaller or raise batch.max_input_mb",
    )


def _piece(limits: PdfLimits, span: tuple[int, int], recipe: Recipe, weight: int) -> Piece:
    first, last = span
    tokens = (last - first + 1) * limits.tokens_per_page
    return Piece("pdf", PDF, tokens, weight, float(first), float(last), "page", recipe=recipe)


def _write(pdf: Any, recipe: Recipe, out: BinaryIO, prune: bool) -> int:
    """Write a recipe's pages as a document that holds only what they need; give its size."""
    with pikepdf.new() as part:
        for page in range(int(recipe.start or 1) - 1, int(recipe.end or 1)):
            part.pages.append(pdf.pages[page])
        _keep_layers(pdf, part)
        _keep_forms(pdf, part)
        if prune:
            part.remove_unreferenced_resources()
        part.save(
            out,
            deterministic_id=True,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
        )
        return out.tell()


def _keep_layers(pdf: Any, part: Any) -> None:
    """Keep the layers' settings: without them hidden layers would show."""
    layers = pdf.Root.get("/OCProperties")
    if isinstance(layers, pikepdf.Dictionary):
        part.Root.OCProperties = part.copy_foreign(_indirect(pdf, layers))


def _keep_forms(pdf: Any, part: Any) -> None:
    """Draw the values of form fields into the pages: a form cannot be cut, what it shows can."""
    if not any(_is_field(note) for page in part.pages for note in _annotations(page)):
        return
    form = pdf.Root.get("/AcroForm")
    if isinstance(form, pikepdf.Dictionary):
        part.Root.AcroForm = part.copy_foreign(_indirect(pdf, form))
        part.generate_appearance_streams()
    part.flatten_annotations("all")
    for page in part.pages:
        left = [note for note in _annotations(page) if not _is_field(note)]
        page.obj.Annots = pikepdf.Array(left)
    if "/AcroForm" in part.Root:
        del part.Root.AcroForm


def _annotations(page: Any) -> list[Any]:
    notes = page.obj.get("/Annots")
    return list(notes) if isinstance(notes, pikepdf.Array) else []


def _is_field(note: Any) -> bool:
    return isinstance(note, pikepdf.Dictionary) and note.get("/Subtype") == pikepdf.Name.Widget


def _indirect(pdf: Any, thing: Any) -> Any:
    return thing if thing.is_indirect else pdf.make_indirect(thing)


class _Scales(io.RawIOBase):
    """A writable file that only weighs what is written."""

    def __init__(self) -> None:
        self._weight = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = len(data)
        self._weight += count
        return count

    def tell(self) -> int:
        return self._weight


def _scales() -> BinaryIO:
    return cast(BinaryIO, _Scales())


def _begins_as_pdf(source: BinaryIO) -> bool:
    source.seek(0)
    return source.read(5) == b"%PDF-"


def _notes(encrypted: bool, repaired: bool) -> tuple[str, ...]:
    told = (("pdf_decrypted", encrypted), ("pdf_repaired", repaired))
    return tuple(name for name, holds in told if holds)


def _title(pdf: Any) -> str | None:
    """Give the title of the document information, else of the XMP metadata."""
    for read in (_info_title, _xmp_title):
        try:
            title = read(pdf)
        except PDF_ERRORS:
            # A title that cannot be read is a title that is not there.
            continue
        if not title.isprintable():
            title = "".join(c if c.isprintable() else " " for c in title)
        if words := " ".join(title.split()):
            return words[:_LONGEST_TITLE]
    return None


def _info_title(pdf: Any) -> str:
    info = pdf.trailer.get("/Info")
    return str(info.get("/Title", "")) if isinstance(info, pikepdf.Dictionary) else ""


def _xmp_title(pdf: Any) -> str:
    if "/Metadata" not in pdf.Root:
        return ""
    title = pdf.open_metadata(set_pikepdf_as_editor=False).get("dc:title", "")
    return title if isinstance(title, str) else ""
