"""Make the MP4 of one piece of a film."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO

from reembed.core.media.video_copy import copy_film
from reembed.core.media.video_encode import Part, Shape, encode_film
from reembed.types import Recipe


def render_video(recipe: Recipe, source: BinaryIO) -> bytes:
    """Copy or encode the piece, as its recipe's ``mode`` says.

    Raises:
        RejectError: ``video_unreadable``, ``media_changed``, ``media_too_large``.
    """
    options = dict(recipe.options)
    if options["mode"] == "copy":
        until = int(options["until"]) if "until" in options else None
        return copy_film(source, int(options["from"]), until)
    part = Part(
        start=Fraction(options["from"]),
        end=Fraction(options["until"]),
        origin=int(options["origin"]),
        encoder=options["encoder"],
        shape=Shape(int(options["side"]), int(options["rate"])),
        most_bytes=int(options["most"]),
        seek=options["seek"] == "1" and options["from"] != "0",
    )
    return encode_film(source, part)
