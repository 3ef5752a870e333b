"""Cut pictures: a check that they decode, and a recipe for what the model takes."""

from __future__ import annotations

import os
from typing import BinaryIO

from PIL import Image

from reembed.config.models import ImageLimits
from reembed.core.media.image_convert import convert_image, encode_image, is_opaque, shrunk, upright
from reembed.core.media.image_open import open_image
from reembed.core.policy import ChunkPolicy
from reembed.errors import RejectError
from reembed.types import Piece, Pieces, Recipe

# An opaque picture whose PNG is above this is sent as JPEG, if that at least halves it.
_LARGE_PNG = 2_000_000
_SMALLEST_SIDE = 256
_JPEG_SIDE = 65_500  # the format's own limit
_FORMS = {"png": "image/png", "jpeg": "image/jpeg"}
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")


def cut_image(source: BinaryIO, mime_type: str, policy: ChunkPolicy) -> Pieces:
    """Cut a picture into its one piece; the first frame or page of those that have more.

    Args:
        source: the picture's bytes, seekable.
        mime_type: what the type was recognised as; only named in messages, the decoder decides.
        policy: limits; `max_pixels` is checked before anything is decoded.

    Raises:
        RejectError: ``image_truncated``, ``image_unreadable``, ``image_too_many_pixels``,
            ``media_too_large``.
    """
    limits = policy.spec.image
    if limits is None:
        raise RejectError(
            "modality_unsupported", f"{policy.spec.name} takes no pictures ({mime_type})"
        )
    size = source.seek(0, os.SEEK_END)
    _check_png(source, policy)
    with open_image(source, policy.chunking.image.max_pixels) as image:
        notes = _notes(image)
        sent = _mime(image)
        if sent in limits.mime_types and size <= policy.max_media_bytes:
            image.load()
            recipe, weight = Recipe("as_is", sent), size
        else:
            recipe, weight = _choose(image, limits, policy.max_media_bytes)
    piece = Piece("image", recipe.mime_type, limits.tokens_each, weight, recipe=recipe)
    return Pieces((piece,), notes=notes)


def render_image(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    """Make the bytes of a converted picture again.

    Raises:
        RejectError: the source is no longer the picture that was cut.
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
    """Find the conversion that fits: PNG if it is small, else JPEG, else ever smaller pictures."""
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
        f"the picture weighs {weight} bytes even when made small; one piece of media may weigh "
        f"{max_bytes}: raise batch.max_input_mb",
    )


def _best_form(pixels: Image.Image, limits: ImageLimits) -> tuple[str, int]:
    taken = [form for form, mime in _FORMS.items() if mime in limits.mime_types]
    if not taken:
        raise RejectError(
            "image_type_not_taken",
            f"the model takes only {', '.join(limits.mime_types)}; convert the picture to one",
        )
    weight = len(encode_image(pixels, taken[0]))
    may_be_jpeg = len(taken) == 2 and max(pixels.size) <= _JPEG_SIDE and is_opaque(pixels)
    if weight > _LARGE_PNG and may_be_jpeg:
        as_jpeg = len(encode_image(pixels, "jpeg"))
        if as_jpeg * 2 <= weight:
            return "jpeg", as_jpeg
    return taken[0], weight
