"""Make the bytes of one piece of media from its object, as its recipe says."""

from __future__ import annotations

import os
from typing import BinaryIO

from reembed.errors import RejectError
from reembed.formats.audio import render_audio
from reembed.formats.image import render_image
from reembed.formats.pdf import render_pdf
from reembed.formats.policy import ChunkPolicy
from reembed.formats.video import render_video
from reembed.types import Recipe


def render(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    """Make a piece's bytes; the same recipe and source give the same bytes.

    Args:
        recipe: as a cutter emitted it.
        source: the object's bytes, seekable, in the state that was cut.
        policy: the limits that it was cut under.

    Raises:
        RejectError: the source no longer serves: the cutters' codes, ``media_changed`` where it
            is readable but not what was planned, ``media_too_large``.
    """
    if recipe.operation == "as_is":
        return _whole(source, policy.max_media_bytes)
    if recipe.operation == "image":
        return render_image(recipe, source, policy)
    if recipe.operation == "audio":
        return render_audio(recipe, source)
    if recipe.operation == "video":
        return render_video(recipe, source)
    return render_pdf(recipe, source)


def _whole(source: BinaryIO, max_bytes: int) -> bytes:
    size = source.seek(0, os.SEEK_END)
    if size > max_bytes:
        raise RejectError(
            "media_too_large",
            f"the file weighs {size} bytes now, above the {max_bytes} that fit a request; "
            "plan again",
        )
    source.seek(0)
    return source.read()
