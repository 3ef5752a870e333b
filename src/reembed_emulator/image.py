"""Images: the service's checks, and features of colours and edges."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from reembed_emulator.errors import RowError

# By the vendor's model page: PNG and JPEG, 258 tokens each whatever the size.
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
TOKENS_PER_IMAGE = 258
_SIDE = 64
# Pillow's decoders raise any of these on damaged bytes.
_UNREADABLE = (
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
)


def read_image(data: bytes, mime_type: str) -> npt.NDArray[np.float32]:
    """Return the features of a PNG or JPEG.

    Raises:
        RowError: The bytes are not a complete image of the declared type.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            found = image.format
            if found != FORMATS[mime_type]:
                raise RowError(f"Unable to process input image: declared {mime_type}, is {found}.")
            image.load()
            return image_features(image)
    except _UNREADABLE as err:
        raise RowError(f"Unable to process input image: {err}"[:200]) from err


def image_features(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return float32[n] of colour layout, colour histogram and edge directions."""
    # Transparent pixels hold arbitrary colours: what is seen is what lies on a white page.
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32) / 255.0
    layout = pixels.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)) - 0.5
    groups = [unit(layout.ravel()), _colours(pixels), 0.8 * _edges(pixels.mean(axis=2))]
    # The constant keeps an even grey image from having no features at all.
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
    # Modulo π: an edge from dark to light equals one from light to dark.
    turn = (np.arctan2(down, right) % np.pi) / np.pi
    angle = np.minimum((turn * 8).astype(np.int64), 7)
    row, column = np.indices(grey.shape) * 4 // _SIDE
    cells = (row * 4 + column) * 8 + angle
    sums = np.bincount(cells.ravel(), strength.ravel(), minlength=128).astype(np.float32)
    return unit(np.sqrt(sums))
