"""Open a picture for reading, within bounds, with the decoder's errors translated."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from reembed.errors import RejectError

# Formats whose decoding is done by the library itself. EPS is not among them: reading it runs
# another program. TGA has no signature and comes last.
FORMATS = (
    *("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"),
    *("ICO", "CUR", "ICNS", "DIB", "PPM", "PCX", "DCX", "PSD", "SGI", "SUN", "DDS", "QOI"),
    *("XBM", "XPM", "TGA"),
)

# What the decoders raise on damaged input; RuntimeError is libavif's and libwebp's.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    AssertionError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
)
_CUT_SHORT = ("truncat", "not enough", "broken data stream", "unexpected end", "cut short")


@contextmanager
def open_image(source: BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """Give the opened, not yet decoded picture; errors inside the block are translated too.

    Raises:
        RejectError: ``image_too_many_pixels`` by the header alone, ``image_truncated``,
            ``image_unreadable``.
    """
    with _quiet:
        try:
            source.seek(0)
            with Image.open(source, formats=FORMATS) as image:
                _check_pixels(image.size, max_pixels)
                yield image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
            raise RejectError("image_too_many_pixels", f"{err}; make the picture smaller") from err
        except DECODER_ERRORS as err:
            raise _unreadable(err) from err


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise RejectError(
            "image_too_many_pixels",
            f"{width} x {height} pixels are above chunking.image.max_pixels ({max_pixels}); "
            "make the picture smaller or raise the limit",
        )


def _unreadable(err: Exception) -> RejectError:
    said = str(err) or type(err).__name__
    if isinstance(err, UnidentifiedImageError):
        return RejectError(
            "image_unreadable",
            "no decoder knows this picture's format; convert it to PNG or JPEG",
        )
    if isinstance(err, EOFError) or any(word in said.lower() for word in _CUT_SHORT):
        return RejectError(
            "image_truncated", f"the picture is cut short ({said}); get the whole file again"
        )
    return RejectError(
        "image_unreadable", f"the picture cannot be decoded ({said}); repair or convert it"
    )


class _Quiet:
    """Silence the decoders' warnings while at least one thread is inside.

    `warnings.catch_warnings` restores what it found on entry, so overlapping threads must share
    one, entered by the first and left by the last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_quiet = _Quiet()
