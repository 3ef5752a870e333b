"""Check, convert and render images within the model's limits."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reembed.config.models import ImageLimits
from reembed.errors import RejectError
from reembed.formats.base import DAMAGE_ERRORS
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import format_named
from reembed.types import Piece, Pieces, Recipe

# Formats whose decoding is done by the library itself. EPS is not among them: reading it runs
# another program. TGA has no signature and comes last.
FORMATS = (
    *("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"),
    *("ICO", "CUR", "ICNS", "DIB", "PPM", "PCX", "DCX", "PSD", "SGI", "SUN", "DDS", "QOI"),
    *("XBM", "XPM", "TGA"),
)

# RuntimeError is libavif's and libwebp's, SyntaxError that of several of Pillow's own decoders.
DECODER_ERRORS = (*DAMAGE_ERRORS, OSError, SyntaxError, EOFError, struct.error, zlib.error)
_CUT_SHORT = ("truncat", "not enough", "broken data stream", "unexpected end", "cut short")


@contextmanager
def open_image(source: BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """Give the opened, not yet decoded image; errors inside the block are translated too.

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
            raise RejectError("image_too_many_pixels", f"{err}; make the image smaller") from err
        except DECODER_ERRORS as err:
            raise _unreadable(err) from err


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise RejectError(
            "image_too_many_pixels",
            f"{width} x {height} pixels are above chunking.image.max_pixels ({max_pixels}); "
            "make the image smaller or raise the limit",
        )


def _unreadable(err: Exception) -> RejectError:
    reason = str(err) or type(err).__name__
    if isinstance(err, UnidentifiedImageError):
        return RejectError(
            "image_unreadable",
            "no decoder knows this image's format; convert it to PNG or JPEG",
        )
    if isinstance(err, EOFError) or any(word in reason.lower() for word in _CUT_SHORT):
        return RejectError(
            "image_truncated", f"the image is cut short ({reason}); get the whole file again"
        )
    return RejectError(
        "image_unreadable", f"the image cannot be decoded ({reason}); repair or convert it"
    )


class _Quiet:
    """Silence of the decoders' warnings while at least one thread is inside.

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


# Quality without visible loss for photographs; 4:4:4, since small print suffers from less.
_JPEG = {"quality": 92, "subsampling": 0}
_PNG = {"compress_level": 6}
_DIRECT = ("L", "RGB", "RGBA")


def convert_image(image: Image.Image, form: str, side: int | None) -> bytes:
    """Encode the image's first frame upright as 8-bit grey, RGB or RGBA.

    Args:
        image: opened by `open_image`; its EXIF orientation is applied.
        form: ``png`` or ``jpeg``; a JPEG stands on white where the image is transparent.
        side: the longest side in pixels to shrink to, None to keep the size.
    """
    pixels = upright(image)
    return encode_image(pixels if side is None else shrunk(pixels, side), form)


def upright(image: Image.Image) -> Image.Image:
    """Decode, turn as EXIF says, and bring to one of the modes L, RGB, RGBA."""
    image.load()
    return _eight_bit(_turned(image))


def shrunk(pixels: Image.Image, side: int) -> Image.Image:
    """Give a copy whose longest side is at most `side` pixels."""
    small = pixels.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def encode_image(pixels: Image.Image, form: str) -> bytes:
    """Encode L, RGB or RGBA pixels as ``png`` or ``jpeg``."""
    # The colour profile belongs to the source's colour space; only RGB and grey keep theirs.
    profile = pixels.info.get("icc_profile")
    out = io.BytesIO()
    if form == "jpeg":
        _on_white(pixels).save(out, "JPEG", icc_profile=profile, **_JPEG)
    else:
        bare = pixels.copy()
        bare.info = {}
        bare.save(out, "PNG", icc_profile=profile, **_PNG)
    return out.getvalue()


def is_opaque(pixels: Image.Image) -> bool:
    """Tell whether every pixel is fully opaque."""
    if pixels.mode != "RGBA":
        return True
    lowest, _ = cast(tuple[int, int], pixels.getchannel("A").getextrema())
    return lowest == 255


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:
        # Damaged EXIF says nothing about the pixels, which are decoded already.
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in _DIRECT and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    see_through = "transparency" in image.info or image.mode in ("PA", "LA", "La", "RGBa", "RGBA")
    target = "RGBA" if see_through else ("L" if image.mode == "1" else "RGB")
    converted = _convert(image, target)
    if image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        converted.info.pop("icc_profile", None)
    return converted


def _convert(image: Image.Image, target: str) -> Image.Image:
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode == "LAB":
        # The library has no direct way from LAB without a profile; its lightness is the image.
        return image.getchannel("L").convert(target)
    return image.convert(target)


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and floating grey to 8 bits.

    16 bits lose their low byte; wider values, whose range nobody declares, are spread over the
    range that occurs.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    if image.mode == "I" and low >= 0 and 255 < high <= 65535:
        low, high = 0.0, 65535.0
    scale = 255.0 / (high - low) if high > low else 0.0
    return Image.fromarray(((finite - low) * scale).astype(np.uint8))


def _on_white(pixels: Image.Image) -> Image.Image:
    if pixels.mode != "RGBA":
        return pixels
    white: Any = Image.new("RGBA", pixels.size, "white")
    white.alpha_composite(pixels)
    return cast(Image.Image, white.convert("RGB"))


# An opaque image whose PNG is above this is sent as JPEG, if that at least halves it.
_LARGE_PNG = 2_000_000
_SMALLEST_SIDE = 256
_JPEG_SIDE = 65_500  # the format's own limit
_FORMS = {form: format_named(form).mime_type for form in ("png", "jpeg")}
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")


def cut_image(source: BinaryIO, mime_type: str, policy: ChunkPolicy) -> Pieces:
    """Cut an image into its one piece; the first frame or page of those that have more.

    Args:
        source: the image's bytes, seekable.
        mime_type: what the type was recognised as; only named in messages, the decoder decides.
        policy: limits; `max_pixels` is checked before anything is decoded.

    Raises:
        RejectError: ``image_truncated``, ``image_unreadable``, ``image_too_many_pixels``,
            ``media_too_large``.
    """
    limits = policy.spec.image
    if limits is None:
        raise RejectError(
            "modality_unsupported", f"{policy.spec.name} takes no images ({mime_type})"
        )
    size = source.seek(0, os.SEEK_END)
    _check_png(source, policy)
    with open_image(source, policy.chunking.image.max_pixels) as image:
        notes = _notes(image)
        sent = _mime(image)
        if sent in limits.mime_types and size <= policy.max_media_bytes:
            # Decoded all the same: half an image is a reject now, not a bad vector later.
            image.load()
            recipe, weight = Recipe("as_is", sent), size
        else:
            recipe, weight = _choose(image, limits, policy.max_media_bytes)
    piece = Piece("image", recipe.mime_type, limits.tokens_each, weight, recipe=recipe)
    return Pieces((piece,), notes=notes)


def render_image(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    """Make the bytes of a converted image again.

    Raises:
        RejectError: the source is no longer the image that was cut.
    """
    options = dict(recipe.options)
    side = int(options["side"]) if "side" in options else None
    with open_image(source, policy.chunking.image.max_pixels) as image:
        return convert_image(image, options["form"], side)


def _check_png(source: BinaryIO, policy: ChunkPolicy) -> None:
    """Check the checksums of a PNG's chunks: decoding alone forgives a missing end."""
    with open_image(source, policy.chunking.image.max_pixels) as image:
        if image.format == "PNG":
            image.verify()


def _mime(image: Image.Image) -> str:
    # A multi-picture JPEG is a JPEG to every decoder; only its first picture is seen.
    if image.format == "MPO":
        return "image/jpeg"
    return Image.MIME.get(image.format or "", "")


def _notes(image: Image.Image) -> tuple[str, ...]:
    if not getattr(image, "is_animated", False):
        return ()
    return ("animated_image",) if image.format in _ANIMATED else ("multi_page_image",)


def _choose(image: Image.Image, limits: ImageLimits, max_bytes: int) -> tuple[Recipe, int]:
    """Find the conversion that fits: PNG if it is small, else JPEG, else ever smaller images."""
    pixels = upright(image)
    form, weight = _best_form(pixels, limits)
    if weight <= max_bytes:
        return Recipe("image", _FORMS[form], options=(("form", form),)), weight
    side = max(pixels.size)
    while (side := side // 2) >= _SMALLEST_SIDE:
        form, weight = _best_form(shrunk(pixels, side), limits)
        if weight <= max_bytes:
            options = (("form", form), ("side", str(side)))
            return Recipe("image", _FORMS[form], options=options), weight
    raise RejectError(
        "media_too_large",
        f"the image weighs {weight} bytes even when made small; one piece of media may weigh "
        f"{max_bytes}: raise batch.max_input_mb",
    )


def _best_form(pixels: Image.Image, limits: ImageLimits) -> tuple[str, int]:
    taken = [form for form, mime in _FORMS.items() if mime in limits.mime_types]
    if not taken:
        raise RejectError(
            "image_type_not_taken",
            f"the model takes only {', '.join(limits.mime_types)}; convert the image to one",
        )
    weight = len(encode_image(pixels, taken[0]))
    may_be_jpeg = len(taken) == 2 and max(pixels.size) <= _JPEG_SIDE and is_opaque(pixels)
    if weight > _LARGE_PNG and may_be_jpeg:
        as_jpeg = len(encode_image(pixels, "jpeg"))
        if as_jpeg * 2 <= weight:
            return "jpeg", as_jpeg
    return taken[0], weight
