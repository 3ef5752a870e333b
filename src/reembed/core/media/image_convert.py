"""Make a PNG or JPEG of any decoded picture, the same bytes every time."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
from PIL import Image, ImageOps

from reembed.core.media.image_open import DECODER_ERRORS

# Quality without visible loss for photographs; 4:4:4, since small print suffers from less.
_JPEG = {"quality": 92, "subsampling": 0}
_PNG = {"compress_level": 6}
_DIRECT = ("L", "RGB", "RGBA")


def convert_image(image: Image.Image, form: str, side: int | None) -> bytes:
    """Encode the picture's first frame upright as 8-bit grey, RGB or RGBA.

    Args:
        image: opened by `open_image`; its EXIF orientation is applied.
        form: ``png`` or ``jpeg``; a JPEG stands on white where the picture is transparent.
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
    """Say whether every pixel is fully opaque."""
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
        # The library has no direct way from LAB without a profile; its lightness is the picture.
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
