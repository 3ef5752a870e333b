"""Read a PDF as the service does: its pages, their text and their pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pikepdf
from PIL import Image

from reembed_emulator.errors import RowError
from reembed_emulator.paper_text import page_text
from reembed_emulator.pictures import describe_image

MAX_PAGES = 6
TOKENS_PER_PAGE = 258
_MAX_PICTURES = 12
# The common ancestor came with pikepdf 10; before, an encrypted file had an error of its own.
_PDF_ERRORS = (
    getattr(pikepdf, "PikepdfError", pikepdf.PdfError),
    pikepdf.PdfError,
    pikepdf.PasswordError,
)
# What a page of a foreign document can raise on the way to its words and pictures.
_UNREADABLE = (
    *_PDF_ERRORS,
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


@dataclass(frozen=True, slots=True)
class Paper:
    """Hold what was read from a PDF: pages, text, and the mean of its pictures if any."""

    pages: int
    text: str
    pictures: npt.NDArray[np.float32] | None


def is_paper(mime_type: str) -> bool:
    """Return whether the type is PDF."""
    return mime_type == "application/pdf"


def count_pages(data: bytes) -> int:
    """Return the number of pages; raise RowError for a damaged or encrypted file."""
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            return len(pdf.pages)
    except _UNREADABLE as err:
        raise RowError(f"The document could not be opened: {err}"[:200]) from err


def read_paper(data: bytes) -> Paper:
    """Return pages, text and pictures of a PDF.

    Raises:
        RowError: Damaged, encrypted, without pages, or more than six of them.
    """
    pages = count_pages(data)
    if pages == 0:
        raise RowError("The document has no pages.")
    if pages > MAX_PAGES:
        raise RowError(f"The document contains {pages} pages; the limit is {MAX_PAGES}.")
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            texts = [_text(page) for page in pdf.pages]
            described = [picture for page in pdf.pages for picture in _pictures(page)]
    except _UNREADABLE as err:
        raise RowError(f"The document could not be read: {err}"[:200]) from err
    mean = np.mean(described[:_MAX_PICTURES], axis=0) if described else None
    return Paper(pages, "\n".join(texts), mean)


def _text(page: Any) -> str:
    try:
        return page_text(page)
    except _UNREADABLE:
        return ""


def _pictures(page: Any) -> Iterator[npt.NDArray[np.float32]]:
    # Before 10.9 there was only the attribute, which now warns.
    images = page.get_images() if hasattr(page, "get_images") else page.images
    for raw in list(images.values())[:_MAX_PICTURES]:
        try:
            yield describe_image(pikepdf.PdfImage(raw).as_pil_image())
        except _UNREADABLE:
            continue
