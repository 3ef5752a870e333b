"""Audio that is cut and rendered, checked on the way."""

from __future__ import annotations

import io

import pytest

from formats.media_factory import (
    policy,
)
from reembed.errors import RejectError
from reembed.formats.audio import cut_audio
from reembed.formats.render import render

SHORT = {"max_seconds": 1.0, "overlap_seconds": 0.25}


def cut(data, **given):
    return cut_audio(io.BytesIO(data), policy(**given))


def sent(data, **given):
    """Every piece with its bytes, after checking what was promised."""
    made = []
    for piece in cut(data, **given).pieces:
        written = render(piece.recipe, io.BytesIO(data), policy(**given))
        assert len(written) == piece.input_bytes
        made.append((piece, written))
    return made


def rejects(data, code, **given):
    with pytest.raises(RejectError) as caught:
        cut(data, **given)
    assert caught.value.code == code
    return caught.value.message
