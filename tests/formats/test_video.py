import io
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.media_factory import (
    cuts,
    mutations,
    policy,
    reject_code,
    shown,
    video_file,
    without,
)
from formats.video_cuts import SHORT, cut, modes, sent, turned
from reembed.errors import RejectError
from reembed.formats.render import render
from reembed.formats.video import cut_video, key_spans, time_spans


@pytest.mark.parametrize(
    ("container", "codec", "mime"),
    [
        *(("mp4", "libx264", "video/mp4"), ("mov", "libx264", "video/quicktime")),
        *(("mp4", "libx265", "video/mp4"), ("mp4", "libsvtav1", "video/mp4")),
        *(("mp4", "libvpx-vp9", "video/mp4"), ("ipod", "libx264", "video/mp4")),
    ],
)
def test_what_the_model_takes_passes_as_it_is(container, codec, mime):
    data = video_file(container, codec, frames=30)
    ((piece, written),) = sent(data)
    assert written == data
    assert (piece.modality, piece.mime_type, piece.recipe.operation) == ("video", mime, "as_is")
    assert (piece.start, piece.end, piece.unit) == (0.0, 3.0, "second")
    assert piece.tokens == 3 * 66


def test_the_model_looks_at_no_more_than_32_frames():
    (piece,) = cut(video_file(frames=100, fps=1)).pieces
    assert (piece.end, piece.tokens) == (100.0, 32 * 66)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *(("mp4", "libx264"), ("mov", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264")),
        *(("flv", "libx264"), ("mp4", "libx265"), ("webm", "libvpx-vp9"), ("mp4", "libsvtav1")),
    ],
)
def test_a_long_video_is_cut_at_key_frames_by_copying(container, codec):
    data = video_file(container, codec, frames=100, every=10)
    whole = [number for _, number in shown(data)]
    pieces = sent(data, video=SHORT)
    assert modes(data, video=SHORT) == {"copy"}
    # Key frames stand at whole seconds: 4 s fit, and the second before the end is shared.
    assert [(round(p.start, 2), round(p.end, 2)) for p, _ in pieces] == [
        *((0.0, 4.0), (3.0, 7.0), (6.0, 10.0))
    ]
    for piece, written in pieces:
        frames = shown(written)
        assert [n for _, n in frames] == whole[round(piece.start * 10) : round(piece.end * 10)]
        assert frames[0][0] == 0.0
        assert frames[-1][0] == pytest.approx(piece.end - piece.start - 0.1, abs=0.002)
        assert piece.mime_type == "video/mp4"


def test_a_copy_predicts_its_weight_closely_and_drops_the_audio():
    data = video_file(frames=400, fps=10, with_sound=True)
    for piece, written in sent(data, video={"max_seconds": 20, "overlap_seconds": 0}):
        with av.open(io.BytesIO(written)) as file:
            assert [s.type for s in file.streams] == ["video"]
        # Of this weight 64 bytes a frame and 8 kB are for the index.
        assert piece.input_bytes - len(written) < 64 * 200 + 8192 + 1000


@pytest.mark.parametrize(
    ("container", "codec"), [("matroska", "libx264"), ("webm", "libvpx-vp9"), ("mpegts", "libx264")]
)
def test_other_containers_are_remuxed(container, codec):
    data = video_file(container, codec, frames=30)
    ((piece, written),) = sent(data)
    assert dict(piece.recipe.options)["mode"] == "copy"
    assert [n for _, n in shown(written)] == list(range(30))
    assert (piece.start, piece.end) == (0.0, pytest.approx(3.0, abs=0.002))


def test_a_varying_rate_keeps_its_times_when_copied():
    times = [0, 40, 500, 540, 1200, 2000, 2040, 2100, 3000, 3300, 4000, 4500, 5000, 5600]
    data = video_file("matroska", times=times, every=1)
    pieces = sent(data, video={"max_seconds": 2.0, "overlap_seconds": 0.5})
    assert modes(data, video={"max_seconds": 2.0, "overlap_seconds": 0.5}) == {"copy"}
    for piece, written in pieces:
        for time, number in shown(written):
            assert time + piece.start == pytest.approx(times[number] / 1000, abs=0.002)


def test_a_frame_that_stands_still_is_what_the_next_piece_begins_with():
    data = video_file(times=[0, 100, 9000, 9100], every=100, bf="0")
    pieces = sent(data, video={"max_seconds": 4.0, "overlap_seconds": 0.0})
    assert [(p.start, round(p.end, 2)) for p, _ in pieces][:3] == [(0, 4), (4, 8), (8, 9.1 + 0.1)]
    assert [[n for _, n in shown(written)] for _, written in pieces] == [[0, 1], [1], [1, 2, 3]]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_open_groups_of_pictures_are_cut_without_broken_frames(codec):
    options: dict[str, Any] = {"x264-params": "open-gop=1"} if codec == "libx264" else {}
    if codec == "libx265":
        options = {"x265-params": "log-level=none:open-gop=1:scenecut=0:keyint=10:min-keyint=10"}
    data = video_file("matroska", codec, frames=100, every=10, **options)
    for piece, written in sent(data, video=SHORT):
        numbers = [n for _, n in shown(written)]
        first = round(piece.start * 10)
        assert numbers == list(range(first, first + len(numbers)))
        assert first + len(numbers) == pytest.approx(piece.end * 10, abs=0.1)


def test_a_fragmented_video_is_cut_like_any_other():
    data = video_file(muxing={"movflags": "frag_keyframe+empty_moov"})
    assert [(p.start, p.end) for p, _ in sent(data, video=SHORT)] == [(0, 4), (3, 7), (6, 10)]


def test_a_transport_stream_that_begins_late_counts_from_its_first_frame():
    data = video_file("mpegts", frames=30, muxing={"output_ts_offset": "5000"})
    (piece,) = cut(data).pieces
    assert (piece.start, piece.end) == (0.0, pytest.approx(3.0))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_copy_keeps_the_rotation(degrees):
    data = turned(video_file(frames=100), degrees)
    for _, written in sent(data, video=SHORT):
        with av.open(io.BytesIO(written)) as file, av.open(io.BytesIO(data)) as source:
            rotation = next(source.decode(video=0)).rotation
            assert rotation != 0
            assert next(file.decode(video=0)).rotation == rotation


def test_the_models_seconds_hold_above_the_configured():
    limits = {"video": {"max_seconds": 3.0}}
    assert max(p.end - p.start for p in cut(video_file(frames=100), limits=limits).pieces) <= 3.0


def test_a_dropped_soundtrack_is_noted():
    assert cut(video_file(with_sound=True)).notes == ("video_with_sound",)
    assert cut(video_file()).notes == ()


def test_a_separate_soundtrack_follows_as_pieces_of_audio():
    data = video_file(frames=100, with_sound=True)
    given = {
        "video": {**SHORT, "soundtrack": "separate"},
        "audio": {"max_seconds": 6.0, "overlap_seconds": 1.0},
    }
    pieces = sent(data, **given)
    kinds = [p.modality for p, _ in pieces]
    assert kinds == ["video"] * 3 + ["audio"] * 2
    tracks = [p for p, _ in pieces if p.modality == "audio"]
    assert [p.mime_type for p in tracks] == ["audio/wav"] * 2
    assert tracks[0].start == pytest.approx(0.0, abs=0.1)
    assert tracks[0].end - tracks[0].start == 6.0
    assert tracks[1].end == pytest.approx(10.0, abs=0.2)
    assert cut(data, **given).notes == ()


def test_a_soundtrack_that_does_not_decode_is_a_warning_not_the_end_of_the_video():
    data = bytearray(video_file(frames=30, with_sound=True))
    with av.open(io.BytesIO(bytes(data))) as file:
        entries = [(e.pos, e.size) for e in file.streams.audio[0].index_entries]
    for at, size in entries:
        data[at : at + size] = b"\xff" * size
    found = cut(bytes(data), video={"soundtrack": "separate"})
    assert [p.modality for p in found.pieces] == ["video"]
    assert found.warnings[0].startswith("soundtrack_left_out: audio_")


def test_a_model_without_audio_gets_no_audio_pieces():
    data = video_file(frames=20, with_sound=True)
    assert {p.modality for p in cut_video(io.BytesIO(data), without("audio")).pieces} == {"video"}


def test_a_model_without_video_says_so():
    with pytest.raises(RejectError) as caught:
        cut_video(io.BytesIO(video_file(frames=5)), without("video"))
    assert caught.value.code == "modality_unsupported"


KINDS = [
    *(("mp4", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264"), ("flv", "libx264")),
    *(("webm", "libvpx-vp9"), ("avi", "mpeg4"), ("mpeg", "mpeg2video")),
]


@pytest.mark.parametrize(("container", "codec"), KINDS)
def test_damaged_videos_are_rejects_or_renderable(container, codec, capfd):
    def render_some(damaged):
        pieces = cut(damaged, video=SHORT).pieces
        for piece in (pieces[0], pieces[-1]):
            written = render(piece.recipe, io.BytesIO(damaged), policy())
            assert len(written) <= piece.input_bytes

    data = video_file(container, codec, frames=60)
    capfd.readouterr()
    for damaged in (*cuts(data), *mutations(data, 25)):
        code = reject_code(lambda damaged=damaged: render_some(damaged))
        assert code is None or code.startswith(("video_", "media_"))
    assert capfd.readouterr().err == ""


gaps = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(gaps, st.integers(1, 120), st.integers(0, 119))
def test_key_spans_cover_the_video_within_the_size(lengths, size, overlap):
    overlap = min(overlap, size - 1)
    times = [0, *np.cumsum(lengths).tolist()]
    keys, end = times[:-1], times[-1]
    spans = key_spans(keys, end, size, overlap)
    if spans is None:
        assert max(lengths) > size
        return
    assert spans[0][0] == 0
    assert spans[-1][1] == len(keys)
    assert all(0 < times[stop] - times[start] <= size for start, stop in spans)
    for (first, stop), (start, following) in pairwise(spans):
        assert first < start <= stop < following
        shared = times[stop] - times[start]
        if shared < overlap:
            # Any earlier key frame would have brought nothing new, or is where the last began.
            earlier = start - 1
            assert earlier == first or times[stop + 1] - times[earlier] > size


@given(st.integers(1, 10_000), st.integers(2, 200), st.integers(0, 199))
def test_time_spans_cover_the_video(tenths, size, overlap):
    end, whole = Fraction(tenths, 10), Fraction(size)
    spans = time_spans(end, whole, whole - min(overlap, size - 1))
    assert spans[0][0] == 0
    assert spans[-1][1] == end
    assert all(0 < stop - start <= whole for start, stop in spans)
    assert all(start <= before < stop for (_, before), (start, stop) in pairwise(spans))
