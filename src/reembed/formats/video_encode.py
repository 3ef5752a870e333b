"""Encode a part of a video: the same bytes every time, under a size known beforehand."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.frame import PictureType

from reembed.errors import RejectError
from reembed.formats.av import AV_ERRORS, open_av, packets, seek_before, unreadable, video_stream

# The model looks at no more than one frame a second: these are ample for what it sees.
_SIDE = 1280
_FRAMES_PER_SECOND = 12
_BITS_PER_PIXEL = 0.15
_LEAST_RATE, _MOST_RATE = 200_000, 2_500_000
_SMALL_SIDE, _SMALL_RATE = 480, 100_000
_TIME_BASE = Fraction(1, 90_000)
_SECONDS_OF_BUFFER = 2
_FRAME_BYTES = 64
_HEADER_BYTES = 8192
_TRIES = 3

# One thread each: with several, the bytes depend on the machine. The tree of macroblocks and the
# look-ahead are off, since with them one encoding in a thousand came out differently.
_ENCODERS = {
    "libx264": (
        "h264",
        {
            "preset": "veryfast",
            "crf": "23",
            "threads": "1",
            "bf": "0",
            "mbtree": "0",
            "rc-lookahead": "0",
        },
    ),
    "libvpx-vp9": ("vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "33", "threads": "1"}),
    "libx265": (
        "hevc",
        {
            "preset": "ultrafast",
            "crf": "26",
            "bf": "0",
            "x265-params": "log-level=none:pools=none:frame-threads=1",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of an encoding: the longest side in pixels, and the most bits a second."""

    side: int
    rate: int

    def most_bytes(self, seconds: float) -> int:
        """Bound the bytes of so many seconds, the container included."""
        frames = math.ceil(seconds * _FRAMES_PER_SECOND) + 1
        coded = self.rate * (seconds + _SECONDS_OF_BUFFER) / 8
        return math.ceil(coded) + frames * _FRAME_BYTES + _HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Part:
    """Part to encode: seconds since `origin` (in units of the stream), and how."""

    start: Fraction
    end: Fraction
    origin: int
    encoder: str
    shape: Shape
    most_bytes: int
    seek: bool


def choose_encoder(codecs: tuple[str, ...]) -> str | None:
    """Give the first encoder of this build whose codec is taken, None where there is none."""
    for encoder, (codec, _) in _ENCODERS.items():
        if codec in codecs and encoder in av.codecs_available:
            return encoder
    return None


def choose_size(size: tuple[int, int], seconds: float, max_bytes: int) -> Shape:
    """Choose the side and the rate with which `seconds` stay under `max_bytes`.

    Raises:
        RejectError: ``media_too_large``.
    """
    width, height = (max(1, length) for length in size)
    side = min(_SIDE, max(width, height))
    pixels = width * height * (side / max(width, height)) ** 2
    rate = int(pixels * _FRAMES_PER_SECOND * _BITS_PER_PIXEL)
    usual = Shape(side, min(_MOST_RATE, max(_LEAST_RATE, rate)))
    for shape in (usual, Shape(min(side, _SMALL_SIDE), _SMALL_RATE)):
        if shape.most_bytes(seconds) <= max_bytes:
            return shape
    raise RejectError(
        "media_too_large",
        f"{seconds:.1f} s of video are above {max_bytes} bytes even when made small; lower "
        "chunking.video.max_seconds or raise batch.max_input_mb",
    )


def encode_video(source: BinaryIO, part: Part) -> bytes:
    """Decode a part of a video and encode it; with fewer bits where it came out too large.

    Raises:
        RejectError: ``video_unreadable``, ``media_changed``, ``media_too_large``.
    """
    # Rate control is an aim, not a bound; what is above the planned weight would overflow the job.
    rate = part.shape.rate
    for _ in range(_TRIES):
        encoded = _encode(source, part, rate)
        if len(encoded) <= part.most_bytes:
            return encoded
        rate //= 2
    raise RejectError(
        "media_too_large",
        f"the video from {float(part.start)} to {float(part.end)} s does not become smaller than "
        f"the planned {part.most_bytes} bytes; convert it to MP4 with H.264",
    )


def _encode(source: BinaryIO, part: Part, rate: int) -> bytes:
    with open_av(source, "video") as opened:
        video = video_stream(opened)
        if video is None or video.codec_context is None:
            raise unreadable("video", "no video stream")
        begin = part.origin + int(part.start / video.time_base)
        sought = part.seek and seek_before(opened, video, begin)
        decoded = _decoded(opened, video, part.origin)
        first = next(decoded, None)
        if part.seek and (not sought or first is None or first[0] > part.start):
            # The seek went wrong or too far.
            return _encode(source, replace(part, seek=False), rate)
        shown = _thinned(_shown(chain([first] if first else [], decoded), part), part.start)
        shown_first = next(shown, None)
        if shown_first is None:
            raise RejectError(
                "media_changed",
                f"no frame decodes from {float(part.start)} to {float(part.end)} s of the video; "
                "plan again if it changed, else export it anew",
            )
        turn = _Turn.of(video, shown_first[1], part.shape.side)
        frames = ((time, turn.apply(frame)) for time, frame in chain([shown_first], shown))
        return _write(frames, part, rate, (turn.width, turn.height))


def _write(
    frames: Iterator[tuple[Fraction, Any]], part: Part, rate: int, size: tuple[int, int]
) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as written:
        stream = _add_stream(written, part.encoder, rate, size)
        for time, frame in frames:
            frame.pts = int((time - part.start) / _TIME_BASE)
            frame.time_base = _TIME_BASE
            # What kind of frame it was in the source must not force what it becomes.
            frame.pict_type = PictureType.NONE
            for packet in stream.encode(frame):
                written.mux(packet)
        # The last frame stays until the part ends.
        for packet in stream.encode(None):
            stays = part.end - part.start - packet.pts * Fraction(packet.time_base)
            packet.duration = max(1, int(stays / Fraction(packet.time_base)))
            written.mux(packet)
    return out.getvalue()


def _add_stream(written: Any, encoder: str, rate: int, size: tuple[int, int]) -> Any:
    _, settings = _ENCODERS[encoder]
    options = {
        **settings,
        "b": str(rate),
        "maxrate": str(rate),
        "bufsize": str(rate),
        "g": str(10 * _FRAMES_PER_SECOND),
    }
    stream = written.add_stream(encoder, rate=_FRAMES_PER_SECOND, options=options)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TIME_BASE
    return stream


def _shown(decoded: Iterator[tuple[Fraction, Any]], part: Part) -> Iterator[tuple[Fraction, Any]]:
    """Give frames and their seconds, from the one that is on screen when the part begins."""
    waiting: tuple[Fraction, Any] | None = None
    begun = False
    for time, frame in decoded:
        if time >= part.end:
            # A first frame with a damaged time must not end the part.
            if begun:
                break
            continue
        begun = True
        if time <= part.start:
            waiting = (time, frame)
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        yield time, frame
    if waiting is not None:
        yield waiting


def _decoded(opened: Any, video: Any, origin: int) -> Iterator[tuple[Fraction, Any]]:
    """Decode, giving each frame's seconds since `origin`, which is in units of the stream."""
    base, step = Fraction(video.time_base), 1 / Fraction(video.average_rate or 25)
    time = -step
    for frame in _frames(opened, video):
        # A frame without a time follows the one before it at the usual pace.
        time = time + step if frame.pts is None else (frame.pts - origin) * base
        yield time, frame


def _frames(opened: Any, video: Any) -> Iterator[Any]:
    for packet in packets(opened, video):
        try:
            yield from packet.decode()
        except AV_ERRORS:
            continue  # A damaged packet costs its frames, as in every player.
    try:
        yield from video.codec_context.decode(None)
    except AV_ERRORS:
        return


def _thinned(
    shown: Iterator[tuple[Fraction, Any]], start: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """Keep at most the frames a second that are worth sending; the first stands at `start`."""
    due = start
    for time, frame in shown:
        at = max(time, start)
        if at >= due:
            yield at, frame
            # A frame a little early is better than a beat between two paces.
            due = at + Fraction(9, 10 * _FRAMES_PER_SECOND)


@dataclass(frozen=True, slots=True)
class _Turn:
    """Brings frames upright, to square pixels, and to the size of the first one."""

    inner: tuple[int, int]
    quarters: int

    @classmethod
    def of(cls, video: Any, frame: Any, side: int) -> _Turn:
        """Decide by the first frame."""
        aspect = Fraction(video.sample_aspect_ratio or 1)
        wide, high = float(frame.width * aspect), float(frame.height)
        scale = min(1.0, side / max(wide, high))
        return cls((_even(wide * scale), _even(high * scale)), round(frame.rotation / 90) % 4)

    @property
    def width(self) -> int:
        """Width after turning."""
        return self.inner[self.quarters % 2]

    @property
    def height(self) -> int:
        """Height after turning."""
        return self.inner[1 - self.quarters % 2]

    def apply(self, frame: Any) -> Any:
        """Give the frame as it is to be encoded."""
        if not self.quarters:
            return frame.reformat(*self.inner, "yuv420p")
        colours = frame.reformat(*self.inner, "rgb24").to_ndarray()
        turned = np.ascontiguousarray(np.rot90(colours, self.quarters))
        return av.VideoFrame.from_ndarray(turned, "rgb24").reformat(format="yuv420p")


def _even(length: float) -> int:
    return max(16, round(length / 2) * 2)
