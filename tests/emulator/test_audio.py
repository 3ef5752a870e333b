from __future__ import annotations

import numpy as np
import pytest

from reembed_emulator.errors import RowError


@pytest.mark.parametrize(("kind", "mime_type"), [("wav", "audio/wav"), ("mp3", "audio/mpeg")])
def test_audio_by_pitch(embed, make, kind, mime_type):
    low, lower, high = (
        embed((make.audio(hertz, kind=kind), mime_type)) for hertz in (220, 225, 3000)
    )
    assert low.tokens in (25, 50)
    assert low.values @ lower.values > low.values @ high.values + 0.2


def test_the_limit_of_length(embed, make):
    embed((make.audio(seconds=180), "audio/wav"))
    with pytest.raises(RowError, match="180 seconds"):
        embed((make.audio(seconds=181), "audio/wav"))


def test_damaged_audio(embed, make):
    audio = make.audio()
    for data, mime_type in (
        (audio[:44], "audio/wav"),
        (audio, "audio/mpeg"),
        (b"noise" * 100, "audio/mpeg"),
    ):
        with pytest.raises(RowError) as caught:
            embed((data, mime_type))
        assert caught.value.code == 3


def test_silence_has_a_vector(embed, make):
    quiet = embed((make.audio(hertz=0), "audio/wav"))
    assert np.linalg.norm(quiet.values) == pytest.approx(1, abs=1e-5)
