"""Make the bytes of one piece of media from its object, as its recipe says."""

from __future__ import annotations

import os
from typing import BinaryIO

from reembed.errors import RejectError, UsageError
from reembed.formats.policy import ChunkPolicy
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
        UsageError: no format that is known has the recipe's operation.
    """
    if recipe.operation == "as_is":
        return _whole(source, policy.max_media_bytes)
    rendering = policy.table().renders.get(recipe.operation)
    if rendering is None:
        raise UsageError(
            f"the plan has media to be made by {recipe.operation!r}, which no format here does; "
            "install the version, and the extensions, that planned it"
        )
    return rendering(recipe, source, policy)


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
