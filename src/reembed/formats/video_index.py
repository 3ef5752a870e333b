"""Read a video's packets once: their times, sizes and key frames, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from reembed.errors import RejectError
from reembed.formats.av import (
    AV_ERRORS,
    audio_stream,
    keep_position,
    open_av,
    packets,
    seek_before,
    unreadable,
    video_stream,
)

# Containers whose packets carry the time at which they are shown.
_TIMED = ("mov", "matroska", "mpegts", "flv")
# A frame above this is a damaged header or a bomb: 8K has 33 million pixels.
_MOST_PIXELS = 1 << 27
# So many packets are decoded before a beginning counts as undecodable.
_PATIENCE = 120
# A video of slides may stand still; one that does so longer would be cut into thousands of pieces.
_LONGEST_GAP = 600.0
# From one key frame to the end may be the whole video: only so much of it is decoded on trial.
_LONGEST_TAIL = 1500
# Bytes of packets that are kept while a video is read.
_MOST_KEPT = 32 << 20
_MISSING_SECONDS = 1.0
_MISSING_SHARE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """Packets of a video in file order, times in `time_base` units.

    `timed` says that the times are those of showing, each its own, and that key frames come in
    their order: what cutting without decoding needs. `origin` is when the first frame is shown,
    `end` when the last one ends. `brand` is an MP4's or QuickTime file's own name of its kind.
    """

    container: str
    brand: str
    codec: str
    width: int
    height: int
    time_base: Fraction
    pts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    keys: NDArray[np.int64]
    origin: int
    end: int
    seekable: bool
    timed: bool
    header_bytes: int
    has_audio: bool

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float((self.end - self.origin) * self.time_base)

    def at(self, time: int) -> float:
        """Give a time in seconds since the video began."""
        return float((time - self.origin) * self.time_base)


def index_video(source: BinaryIO, opened: Any | None = None) -> Video:
    """Read all packets of the video; decode its beginning and its end.

    Args:
        source: the file's bytes, seekable.
        opened: its container where the caller has it open, see `open_av`.

    Raises:
        RejectError: ``video_unreadable``, ``video_codec_unknown``, ``video_no_frames``,
            ``video_truncated``, ``video_too_many_pixels``, ``video_times_broken``.
    """
    with keep_position(source):
        size = source.seek(0, os.SEEK_END)
    with open_av(source, "video", opened) as container:
        stream = video_stream(container)
        if stream is None or stream.codec_context is None or not stream.time_base:
            raise RejectError(
                "video_codec_unknown",
                "no decoder knows this video's codec; convert it to MP4 with H.264",
            )
        _check_pixels(stream)
        _check_index(container, size)
        read = _read(container, stream)
        video = _describe(container, stream, read)
        _check_duration(container, video)
        _check_end_decodes(container, stream, video, read.tail)
    return video


@dataclass(slots=True)
class _Read:
    """Facts of the packets read so far; `keys` and `shown` are indices of packets.

    `tail` are the packets from the last key frame on, empty where they weigh too much to be kept.
    """

    times: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    tail: list[Any] = field(default_factory=list)
    has_times: bool = True
    last_is_broken: bool = False


def _read(opened: Any, stream: Any) -> _Read:
    read, kept, packet = _Read(), 0, None
    decoded = False
    for row, packet in enumerate(packets(opened, stream)):
        time, duration, size = packet.pts, packet.duration or 0, packet.size
        # AVI has no times of showing: decoding times serve for its length, not for cutting.
        if time is None:
            read.has_times, time = False, packet.dts
        if time is None:
            time = read.times[-1] + max(1, read.durations[-1]) if row else 0
        read.times.append(time)
        read.durations.append(duration)
        read.sizes.append(size)
        if packet.is_keyframe:
            read.keys.append(row)
            read.tail, kept = [], 0
        if read.keys and not packet.is_discard:
            read.shown.append(row)
        kept += size
        if kept <= _MOST_KEPT and len(read.tail) <= _LONGEST_TAIL:
            read.tail.append(packet)
        if not decoded:
            decoded = bool(_decoded(packet))
            if not decoded and row + 1 >= _PATIENCE:
                raise unreadable("video", f"none of the first {_PATIENCE} packets decodes")
    if kept > _MOST_KEPT:
        read.tail = []
    read.last_is_broken = packet is not None and bool(packet.is_corrupt)
    if not decoded and not (read.times and _flushed(stream)):
        raise _undecoded(len(read.times))
    return read


def _undecoded(count: int) -> RejectError:
    if count:
        return unreadable("video", f"none of its {count} packets decodes")
    return RejectError("video_no_frames", "the video has no frames; export it again")


def _decoded(packet: Any) -> Sequence[Any]:
    try:
        frames: Sequence[Any] = packet.decode()
    except AV_ERRORS:
        return ()
    return frames


def _flushed(stream: Any) -> Sequence[Any]:
    try:
        frames: Sequence[Any] = stream.codec_context.decode(None)
    except AV_ERRORS:
        return ()
    return frames


def _describe(opened: Any, stream: Any, read: _Read) -> Video:
    context, container = stream.codec_context, str(opened.format.name)
    if read.last_is_broken:
        raise _truncated("its last packet is broken")
    pts, keys = np.array(read.times, np.int64), np.array(read.keys, np.int64)
    ordered = np.sort(pts)
    steps = ordered[1:] - ordered[:-1]
    _check_gaps(steps, Fraction(stream.time_base))
    seekable = read.has_times and bool(np.all(steps > 0))
    in_order = len(keys) > 0 and bool(np.all(np.diff(pts[keys]) > 0))
    shown = np.array(read.shown or range(len(pts)), np.int64)
    return Video(
        container=container,
        brand=str(opened.metadata.get("major_brand", "")),
        codec=str(context.codec.canonical_name),
        width=int(context.width),
        height=int(context.height),
        time_base=Fraction(stream.time_base),
        pts=pts,
        sizes=np.array(read.sizes, np.int64),
        keys=keys,
        origin=int(pts[shown].min()),
        end=_end(pts, np.array(read.durations, np.int64), steps),
        seekable=seekable,
        timed=seekable and in_order and container.split(",")[0] in _TIMED,
        header_bytes=len(context.extradata or b""),
        has_audio=audio_stream(opened) is not None,
    )


def _end(pts: NDArray[np.int64], durations: NDArray[np.int64], steps: NDArray[np.int64]) -> int:
    """Find when the last frame ends; one without a duration is shown as long as most others."""
    if not np.all(durations > 0):
        usual = int(np.median(steps)) if len(steps) else 1
        durations = np.where(durations > 0, durations, max(1, usual))
    return int((pts + durations).max())


def _check_gaps(steps: NDArray[np.int64], time_base: Fraction) -> None:
    gap = float(int(steps.max(initial=0)) * time_base)
    if gap > _LONGEST_GAP:
        raise RejectError(
            "video_times_broken",
            f"{gap:.0f} s lie between two frames, which means damaged times; export the video anew",
        )


def _check_pixels(stream: Any) -> None:
    width, height = int(stream.codec_context.width), int(stream.codec_context.height)
    if width * height > _MOST_PIXELS:
        raise RejectError(
            "video_too_many_pixels",
            f"frames of {width} x {height} pixels are above {_MOST_PIXELS}; make the video smaller",
        )


def _check_index(opened: Any, size: int) -> None:
    """Compare an MP4's index, which may stand before the data, with the file's size."""
    if not str(opened.format.name).startswith("mov"):
        return
    for stream in opened.streams:
        entries = stream.index_entries
        reach = max((entry.pos + entry.size for entry in entries), default=0)
        if reach > size:
            raise _truncated(f"its index reaches to byte {reach}, the file ends at {size}")


def _check_duration(opened: Any, video: Video) -> None:
    if video.container.split(",")[0] not in ("mov", "matroska"):
        return
    declared = (opened.duration or 0) / av.time_base
    if video.has_audio:
        # The longest stream sets the container's duration; the audio may outlast the frames.
        own = video_stream(opened)
        known = own is not None and own.duration and own.time_base
        declared = float(own.duration * own.time_base) if own is not None and known else 0.0
    if declared - video.seconds > max(_MISSING_SECONDS, declared * _MISSING_SHARE):
        raise _truncated(f"it promises {declared:.1f} s, {video.seconds:.1f} s are there")


def _check_end_decodes(opened: Any, stream: Any, video: Video, tail: Sequence[Any]) -> None:
    """Decode the end: a file that was filled up with zeros has a good index.

    What follows the last key frame proves enough where it decodes. Where it does not, decoding
    from well before the end decides.
    """
    if not video.seekable:
        return
    stream.codec_context.flush_buffers()
    if tail and not _missing_end(stream, video, tail):
        return
    if not seek_before(opened, stream, video.end):
        return
    missing = _missing_end(stream, video, packets(opened, stream))
    if missing:
        raise _truncated(f"its last {missing:.1f} s do not decode")


def _missing_end(stream: Any, video: Video, stored: Iterable[Any]) -> float:
    """Decode packets up to the end; give the seconds that are missing there, 0 for too few."""
    last = video.origin
    for tried, packet in enumerate(stored):
        last = _latest(_decoded(packet), last)
        if tried >= _LONGEST_TAIL:
            return 0.0
    last = _latest(_flushed(stream), last)
    missing = float((video.end - last) * video.time_base)
    still = float(video.end - video.pts.max()) * video.time_base
    most = max(_MISSING_SECONDS, video.seconds * _MISSING_SHARE)
    return missing if missing - still > most else 0.0


def _latest(frames: Iterable[Any], last: int) -> int:
    for frame in frames:
        time = frame.pts
        if time is not None and time > last:
            last = time
    return last


def _truncated(reason: str) -> RejectError:
    return RejectError(
        "video_truncated", f"the video is cut short: {reason}; get the whole file again"
    )
