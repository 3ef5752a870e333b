"""Read a picture as the service does, and describe it by colours and edges."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from reembed_emulator.errors import RowError

TOKENS_PER_IMAGE = 258
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
_SIDE = 64


def is_image(mime_type: str) -> bool:
    """Return whether the type is one of the pictures that the service reads."""
    return mime_type in _FORMATS


def read_image(data: bytes, mime_type: str) -> npt.NDArray[np.float32]:
    """Return the description of a PNG or JPEG.

    Raises:
        RowError: The bytes are no whole picture of the type that was declared.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            found = image.format
            if found != _FORMATS[mime_type]:
                raise RowError(f"Unable to process input image: declared {mime_type}, is {found}.")
            image.load()
            return describe_image(image)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        OSError,
        EOFError,
        IndexError,
        SyntaxError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as err:
        raise RowError(f"Unable to process input image: {err}"[:200]) from err


def describe_image(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return float32[n] of colour layout, colour histogram and edge directions."""
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32) / 255.0
    layout = pixels.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)) - 0.5
    groups = [unit(layout.ravel()), _colours(pixels), 0.8 * _edges(pixels.mean(axis=2))]
    # The constant keeps an even grey picture from having no description at all.
    return np.concatenate([*groups, [0.05]]).astype(np.float32)


def unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the values scaled to length 1, zeros unchanged."""
    length = float(np.linalg.norm(values))
    return values / np.float32(length) if length else values


def _colours(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    steps = np.minimum((pixels * 4).astype(np.int64), 3).reshape(-1, 3)
    codes = steps @ np.array([16, 4, 1])
    return unit(np.sqrt(np.bincount(codes, minlength=64)).astype(np.float32))


def _edges(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) % np.pi) / np.pi
    angle = np.minimum((turn * 8).astype(np.int64), 7)
    row, column = np.indices(grey.shape) * 4 // _SIDE
    cells = (row * 4 + column) * 8 + angle
    sums = np.bincount(cells.ravel(), strength.ravel(), minlength=128).astype(np.float32)
    return unit(np.sqrt(sums))
