"""The index of a video: cut short, damaged, or with times that cannot be."""

from __future__ import annotations

import io

import av
import pytest

from formats.media_factory import (
    policy,
    reject_code,
    video_file,
)
from formats.video_cuts import SHORT, cut, rejects
from reembed.errors import RejectError
from reembed.formats import video_index
from reembed.formats.render import render


def test_a_video_without_its_index_is_unreadable():
    data = video_file()
    assert "cut short or damaged" in rejects(data[: len(data) // 2], "video_unreadable")


def test_a_video_whose_index_stands_first_is_seen_to_be_cut_short():
    data = video_file(muxing={"moov_size": "20000"})
    assert len(data) > 21_000
    message = rejects(data[:-500], "video_truncated")
    assert f"the file ends at {len(data) - 500}" in message


@pytest.mark.parametrize("container", ["matroska", "webm"])
def test_other_cut_containers_are_seen_by_their_duration(container):
    data = video_file(container, "libvpx-vp9", frames=100)
    assert "promises 10.0 s" in rejects(data[: len(data) * 2 // 3], "video_truncated")


@pytest.fixture(params=["kept", "sought"])
def ends(request, monkeypatch):
    """Both ways to the last packets: kept from the reading, and sought where they weigh much."""
    if request.param == "sought":
        monkeypatch.setattr(video_index, "_MOST_KEPT", 0)


@pytest.mark.usefixtures("ends")
def test_a_video_whose_end_is_zeros_is_truncated():
    data = bytearray(video_file(muxing={"moov_size": "20000"}))
    data[-1200:] = bytes(1200)
    assert "do not decode" in rejects(bytes(data), "video_truncated")


@pytest.mark.usefixtures("ends")
def test_a_damaged_last_group_of_images_is_forgiven_where_it_is_short():
    data = bytearray(video_file(frames=105, muxing={"moov_size": "20000"}))
    with av.open(io.BytesIO(bytes(data))) as opened:
        stored = [p for p in opened.demux(video=0) if p.size]
    begin = max(p.pos or 0 for p in stored if p.is_keyframe)
    data[begin:] = bytes(len(data) - begin)
    assert len(stored) == 105
    assert cut(bytes(data)).pieces[0].end == pytest.approx(10.5)


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("every", [1, 10, 100])
def test_a_whole_video_is_taken_wherever_its_last_key_frame_stands(every):
    assert cut(video_file(frames=100, every=every)).pieces[0].end == pytest.approx(10)


def test_frames_far_apart_mean_damaged_times():
    data = video_file("matroska", times=[0, 100, 9_000_000], every=1)
    assert "export the video anew" in rejects(data, "video_times_broken")


def test_key_frames_that_moved_since_the_plan_are_a_reject():
    planned = cut(video_file(every=10), video=SHORT).pieces[1]
    with pytest.raises(RejectError, match="plan again") as caught:
        render(planned.recipe, io.BytesIO(video_file(every=7)), policy())
    assert caught.value.code == "media_changed"


def test_frames_that_are_gone_since_the_plan_are_a_reject():
    planned = cut(video_file("avi", "mpeg4"), video=SHORT).pieces[-1]
    code = reject_code(lambda: render(planned.recipe, io.BytesIO(b""), policy()))
    assert code == "video_unreadable"
