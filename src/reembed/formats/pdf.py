"""Cut PDFs at pages; a piece that is not the whole file is a small PDF of its own."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import pikepdf

from reembed.config.models import PdfLimits
from reembed.errors import RejectError
from reembed.formats.base import DAMAGE_ERRORS
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import format_named
from reembed.types import Piece, Pieces, Recipe

PDF = format_named("pdf").mime_type
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
        # What one reader repairs or decrypts silently, another may refuse.
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
        # Repairs depend on what was read before them: do here what was done when it was cut.
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
    """Write a recipe's pages as a document that has only what they need; return its size."""
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
    """Writable file that only counts what is written."""

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
    notes = (("pdf_decrypted", encrypted), ("pdf_repaired", repaired))
    return tuple(name for name, is_true in notes if is_true)


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


# Opening: the library's errors translated, repaired files checked, shared resources found.

PDF_ERRORS = (pikepdf.PdfError, pikepdf.DependencyError, *DAMAGE_ERRORS)
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
        raise damaged(_error_text(err)) from err


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
    """Load every page; return whether the library had to repair the file.

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
    """Tell whether the library searched a file for its objects since this was last asked."""
    return any("reconstruct" in str(warning) for warning in pdf.get_warnings())


def _error_text(err: Exception) -> str:
    # The library begins with the representation of the Python stream, which helps nobody.
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
    """Tell whether an object begins after the last one that ends; the index itself may be cut."""
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
    for several pages: the rule by which qpdf decides in its mode ``auto``. An image or a form
    that is named twice counts too, since each page may name those of all.
    """
    if len(pdf.pages) > _MOST_PAGES:
        return True
    seen: set[tuple[int, int]] = set()
    return any(_is_shared(thing, seen) for page in pdf.pages for thing in _named(page.obj))


def _named(node: Any, depth: int = 0) -> Iterator[Any]:
    """Yield what a page or form names: its resources, their large ones, those of its forms.

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
