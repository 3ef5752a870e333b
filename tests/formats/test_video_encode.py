"""Videos encoded anew: which encoder, how large, and what is left out."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import pytest

from formats.media_factory import (
    noisy_video,
    shown,
    video_file,
)
from formats.video_cuts import SHORT, modes, rejects, sent, turned
from reembed.formats.video_encode import choose_encoder


@pytest.mark.parametrize(
    ("container", "codec"),
    [("avi", "mpeg4"), ("mpeg", "mpeg2video"), ("avi", "libx264"), ("h264", "libx264")],
)
def test_other_codecs_and_untimed_containers_are_encoded_anew(container, codec):
    data = video_file(container, codec, frames=50, fps=25, every=5)
    ((piece, written),) = sent(data)
    assert dict(piece.recipe.options)["mode"] == "encode"
    assert piece.mime_type == "video/mp4"
    with av.open(io.BytesIO(written)) as file:
        (stream,) = file.streams
        assert stream.codec_context.codec.canonical_name == "h264"
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0, abs=0.1)
    assert shown(written)[0][1] == 0


def test_key_frames_too_far_apart_mean_encoding_anew_at_any_time():
    data = video_file(frames=100, every=1000)
    pieces = sent(data, video=SHORT)
    assert modes(data, video=SHORT) == {"encode"}
    assert [(p.start, p.end) for p, _ in pieces] == [(0.0, 4.0), (3.5, 7.5), (7.0, 10.0)]
    for piece, written in pieces:
        frames = shown(written)
        first = round(piece.start * 10)
        assert [n for _, n in frames] == list(range(first, first + len(frames)))
        assert len(frames) == round((piece.end - piece.start) * 10)
        assert frames[0][0] == 0.0
        with av.open(io.BytesIO(written)) as file:
            stream = file.streams.video[0]
            seconds = float(stream.duration * stream.time_base)
        assert seconds == pytest.approx(piece.end - piece.start, abs=0.001)


def test_encoding_keeps_only_frames_worth_sending():
    ((_, written),) = sent(video_file("avi", "mpeg4", frames=120, fps=60))
    times = [t for t, _ in shown(written)]
    assert 10 <= len(times) / 2 <= 14
    assert all(after - before >= 0.07 for before, after in pairwise(times))


def test_encoded_noise_stays_under_the_promised_weight():
    ((piece, written),) = sent(noisy_video("avi", "mpeg4", 60, 50_000_000))
    assert len(written) > piece.input_bytes // 5


def test_encoding_applies_the_rotation():
    data = turned(video_file(frames=45, every=1000), 90)
    with av.open(io.BytesIO(data)) as file:
        rotation = next(file.decode(video=0)).rotation
    (_, written), *_ = sent(data, video={"max_seconds": 4.0, "overlap_seconds": 0.5})
    with av.open(io.BytesIO(written)) as file:
        frames = list(file.decode(video=0))
        assert (frames[0].width, frames[0].height) == (48, 64)
        assert frames[0].rotation == 0
        # Bit 0 is the left bar: a quarter turn puts it at the bottom or the top.
        grey = frames[1].to_ndarray(format="gray")
    bright = grey[-4:].mean() if rotation == 90 else grey[:4].mean()
    dark = grey[:4].mean() if rotation == 90 else grey[-4:].mean()
    assert bright > 150 > 100 > dark


@pytest.mark.parametrize(("codec", "encoder"), [("vp9", "libvpx-vp9"), ("hevc", "libx265")])
def test_another_encoder_is_used_where_the_model_does_not_take_h264(codec, encoder, capfd):
    limits = {"video": {"codecs": [codec]}}
    ((piece, written),) = sent(video_file(frames=20), limits=limits)
    assert dict(piece.recipe.options)["encoder"] == encoder
    with av.open(io.BytesIO(written)) as file:
        assert file.streams.video[0].codec.canonical_name == codec
    assert [n for _, n in shown(written)] == list(range(20))
    assert capfd.readouterr().err == ""


def test_the_first_encoder_whose_codec_is_taken_is_chosen():
    assert choose_encoder(("av1", "h264")) == "libx264"
    assert choose_encoder(("hevc",)) == "libx265"
    assert choose_encoder(("theora",)) is None


def test_a_model_that_takes_nothing_we_can_write_is_told_so():
    limits = {"video": {"codecs": ["theora"]}}
    message = rejects(video_file(frames=20), "video_type_not_taken", limits=limits)
    assert "(h264)" in message
    assert "theora" in message


def test_a_copy_above_the_weight_is_encoded_smaller():
    data = noisy_video("mp4", "libx264", 60, 8_000_000)
    given = {"video": {"max_seconds": 3.0, "overlap_seconds": 0}}
    assert modes(data, **given) == {"copy"}
    assert max(p.input_bytes for p, _ in sent(data, **given)) > 1_000_000
    for piece, written in sent(data, max_media_bytes=500_000, **given):
        assert dict(piece.recipe.options)["mode"] == "encode"
        assert len(written) <= piece.input_bytes <= 500_000


def test_a_video_that_cannot_be_made_small_enough_is_refused():
    message = rejects(video_file(frames=100), "media_too_large", max_media_bytes=900)
    assert "lower chunking.video.max_seconds" in message
