"""Write packets of a film as an MP4 of their own, without decoding them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import av

from reembed.core.media.av_open import film_stream, open_av, packets, seek_before, unreadable
from reembed.errors import RejectError


def copy_film(source: BinaryIO, start: int, until: int | None) -> bytes:
    """Copy from the key frame shown at `start` to before the one shown at `until`.

    Times are in units of the stream's time base, None is the film's end; in the copy the key
    frame is shown at 0. The sound is left out.

    Raises:
        RejectError: ``video_unreadable``, or ``media_changed`` where the key frames are not
            there.
    """
    for near in (True, False):
        with open_av(source, "video") as opened:
            stream = film_stream(opened)
            if stream is None or stream.codec_context is None:
                raise unreadable("video", "no stream of pictures")
            if near and not seek_before(opened, stream, start):
                continue
            taken = _take(packets(opened, stream), start, until)
            if taken:
                return _mux(stream, taken)
    raise RejectError(
        "media_changed",
        "the key frames that were planned as the ends of this piece are no longer in the film; "
        "plan again",
    )


def _take(stored: Iterator[Any], start: int, until: int | None) -> list[Any]:
    """Collect the packets between two key frames; empty where one of them was not met.

    Frames that follow the first key frame in the file but are shown before it need what came
    before, and are left out.
    """
    taken: list[Any] = []
    for packet in stored:
        if packet.is_keyframe and packet.pts == until and taken:
            return taken
        if taken or (packet.is_keyframe and packet.pts == start):
            if packet.pts is None:
                return []
            if packet.pts >= start:
                taken.append(packet)
        elif packet.is_keyframe and packet.pts is not None and packet.pts > start:
            return []
    return taken if until is None else []


def _mux(template: Any, taken: list[Any]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as written:
        stream = written.add_stream_from_template(template, opaque=True)
        origin = taken[0].pts
        for packet, (pts, dts) in zip(taken, _times(taken), strict=True):
            packet.pts, packet.dts = pts - origin, dts - origin
            packet.stream = stream
            written.mux(packet)
    return out.getvalue()


def _times(taken: list[Any]) -> list[tuple[int, int]]:
    """Give each packet's time of showing and of decoding.

    Containers differ in what they tell of decoding times, above all after a seek. In file order
    these are the sorted times of showing, moved back until none is after its own showing.
    """
    shown = [packet.pts for packet in taken]
    ordered = sorted(shown)
    late = max(time - own for time, own in zip(ordered, shown, strict=True))
    return [(own, time - late) for time, own in zip(ordered, shown, strict=True)]
