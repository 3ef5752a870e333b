from __future__ import annotations

import pytest

from reembed_emulator.errors import RowError


def test_video_by_frames(embed, make):
    red, other, blue = (
        embed((make.video(color), "video/mp4"))
        for color in ((200, 30, 30), (190, 40, 30), (20, 30, 220))
    )
    assert red.tokens == 2 * 66
    assert red.values @ other.values > red.values @ blue.values + 0.1


def test_quicktime_and_the_frame_limit(embed, make):
    assert embed((make.video(seconds=40, kind="mov"), "video/quicktime")).tokens == 32 * 66


def test_the_limit_of_length(embed, make):
    embed((make.video(seconds=120), "video/mp4"))
    with pytest.raises(RowError, match="120 seconds"):
        embed((make.video(seconds=121), "video/mp4"))


def test_damaged_video(embed, make):
    video = make.video()
    for data, mime_type in (
        (video[: len(video) // 3], "video/mp4"),
        (make.audio(), "video/mp4"),
        (b"\0" * 500, "video/quicktime"),
    ):
        with pytest.raises(RowError) as caught:
            embed((data, mime_type))
        assert caught.value.code == 3


def test_refused_codecs(embed, make):
    with pytest.raises(RowError, match="codec mpeg4 is not supported"):
        embed((make.video(codec="mpeg4"), "video/mp4"))
