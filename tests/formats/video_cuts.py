"""Videos that are cut and rendered, checked on the way."""

from __future__ import annotations

import io

import numpy as np
import pytest

from formats.media_factory import (
    policy,
)
from reembed.errors import RejectError
from reembed.formats.render import render
from reembed.formats.video import cut_video

SHORT = {"max_seconds": 4.0, "overlap_seconds": 0.5}


def cut(data, **given):
    return cut_video(io.BytesIO(data), policy(**given))


def sent(data, **given):
    """Every piece of video with its bytes, after checking what was promised."""
    made = []
    for piece in cut(data, **given).pieces:
        written = render(piece.recipe, io.BytesIO(data), policy(**given))
        assert len(written) <= piece.input_bytes
        assert written == render(piece.recipe, io.BytesIO(data), policy(**given))
        made.append((piece, written))
    return made


def modes(data, **given):
    pieces = cut(data, **given).pieces
    return {dict(piece.recipe.options).get("mode", "as_is") for piece in pieces}


def rejects(data, code, **given):
    with pytest.raises(RejectError) as caught:
        cut(data, **given)
    assert caught.value.code == code
    return caught.value.message


def turned(data, degrees):
    """The MP4 with the display matrix of its track changed to a turn."""
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    matrix = [cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30]
    packed = np.array(matrix, ">i4").tobytes()
    at = data.index(b"tkhd") + 4 + 4 + 4 * 5 + 8 + 8
    return data[:at] + packed + data[at + 36 :]
