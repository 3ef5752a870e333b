"""PDF: the service's checks, and the text and images of its pages."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pikepdf
import pypdfium2
from PIL import Image

from reembed_emulator.errors import RowError
from reembed_emulator.image import image_features

MIME_TYPE = "application/pdf"
# By the vendor's model page.
MAX_PAGES = 6
TOKENS_PER_PAGE = 258
_MAX_IMAGES = 12
_MAX_CHARACTERS = 200_000
# Anything that a page of an untrusted document can raise on the way to its text and images. The
# common ancestor came with pikepdf 10; before, an encrypted file had an error of its own.
_UNREADABLE = (
    getattr(pikepdf, "PikepdfError", pikepdf.PdfError),
    pikepdf.PdfError,
    pikepdf.PasswordError,
    pypdfium2.PdfiumError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
# PDFium keeps global state and is not thread-safe; emulators of one process share it.
_PDFIUM = threading.Lock()


@dataclass(frozen=True, slots=True)
class PdfContent:
    """Pages, text, and mean features of the images (None without images) of a PDF."""

    pages: int
    text: str
    images: npt.NDArray[np.float32] | None


def count_pages(data: bytes) -> int:
    """Return the number of pages; raise RowError for a damaged or encrypted file."""
    try:
        with pikepdf.open(io.BytesIO(data)) as document:
            return len(document.pages)
    except _UNREADABLE as err:
        raise RowError(f"The document could not be opened: {err}"[:200]) from err


def read_pdf(data: bytes) -> PdfContent:
    """Return pages, text and images of a PDF.

    Raises:
        RowError: Damaged, encrypted, without pages, or more than six of them.
    """
    pages = count_pages(data)
    if pages == 0:
        raise RowError("The document has no pages.")
    if pages > MAX_PAGES:
        raise RowError(f"The document contains {pages} pages; the limit is {MAX_PAGES}.")
    try:
        with pikepdf.open(io.BytesIO(data)) as document:
            images = [found for page in document.pages for found in _images(page)]
            # Written again, since qpdf opens some damaged files that PDFium refuses.
            repaired = io.BytesIO()
            document.save(repaired)
    except _UNREADABLE as err:
        raise RowError(f"The document could not be read: {err}"[:200]) from err
    mean = np.mean(images[:_MAX_IMAGES], axis=0) if images else None
    return PdfContent(pages, read_text(repaired.getvalue()), mean)


def read_text(data: bytes) -> str:
    """Return the text of the pages of a PDF; empty where it cannot be read."""
    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(data)
        except _UNREADABLE:
            return ""
        try:
            return "\n".join(_page_text(document, number) for number in range(len(document)))
        finally:
            document.close()


def _page_text(document: Any, number: int) -> str:
    try:
        text = document[number].get_textpage().get_text_range()[:_MAX_CHARACTERS]
    except _UNREADABLE:
        # The other pages may be whole, and the service's verdict on such a file is unknown.
        return ""
    return " ".join(text.split())


def _images(page: Any) -> Iterator[npt.NDArray[np.float32]]:
    # Before 10.9 there was only the attribute, which now warns.
    images = page.get_images() if hasattr(page, "get_images") else page.images
    for raw in list(images.values())[:_MAX_IMAGES]:
        try:
            yield image_features(pikepdf.PdfImage(raw).as_pil_image())
        except _UNREADABLE:
            continue
