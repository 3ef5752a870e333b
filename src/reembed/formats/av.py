"""Open audio and video with FFmpeg, its errors translated and its logging kept quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.stream import Discard, Disposition

from reembed.errors import RejectError
from reembed.formats.base import DAMAGE_ERRORS

# Containers that hold their own data. Playlists (HLS, DASH, concat) are not among them: they
# would make the demuxer open other files and addresses.
_DEMUXERS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg"),
    *("wav", "w64", "mp3", "flac", "aac", "aiff", "au", "caf", "amr", "ac3", "eac3", "ape", "wv"),
    *("tta", "dts", "mxf", "rm", "h264", "hevc", "obu", "ivf", "dv", "nut", "gxf", "mpc", "mpc8"),
)
_OPTIONS = {"format_whitelist": ",".join(_DEMUXERS), "protocol_whitelist": "none"}

_AHEAD_SECONDS = 3

# Some of FFmpeg's classes (NotImplementedError, MemoryError, …) are mixed into its base.
AV_ERRORS = (av.FFmpegError, *DAMAGE_ERRORS)


@contextmanager
def open_av(source: BinaryIO, modality: str, opened: Any | None = None) -> Iterator[Any]:
    """Give the opened input container; errors inside the block are translated too.

    Args:
        source: the file's bytes, seekable.
        modality: ``audio`` or ``video``, the beginning of the reject codes.
        opened: its container where the caller has opened it and read nothing of it yet, which
            then stays open; None opens one and closes it.

    Raises:
        RejectError: ``<modality>_unreadable``.
    """
    try:
        if opened is not None:
            yield opened
            return
        source.seek(0)
        with av.open(source, mode="r", options=dict(_OPTIONS), metadata_errors="replace") as fresh:
            yield fresh
    except AV_ERRORS as err:
        raise unreadable(modality, _reason(err)) from err


@contextmanager
def keep_position(source: BinaryIO) -> Iterator[None]:
    """Put the file back where it stood: a decoder does not notice that it was moved."""
    place = source.tell()
    try:
        yield
    finally:
        source.seek(place)


def unreadable(modality: str, reason: str) -> RejectError:
    """Make the reject of a file that the decoders refuse."""
    return RejectError(
        f"{modality}_unreadable",
        f"the {modality} cannot be read ({reason}); it may be cut short or damaged: "
        "get the file again or convert it",
    )


def _reason(err: Exception) -> str:
    if isinstance(err, av.FFmpegError):
        return str(err.strerror or type(err).__name__)
    return str(err) or type(err).__name__


def video_stream(opened: Any) -> Any | None:
    """Give the video stream, None for audio alone; a cover image is no video."""
    videos = [stream for stream in opened.streams.video if not _is_cover(stream)]
    return max(videos, key=_area, default=None)


def _area(stream: Any) -> int:
    context = stream.codec_context
    return 0 if context is None else int(context.width) * int(context.height)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def audio_stream(opened: Any) -> Any | None:
    """Give the audio stream that a player would choose, None where there is none."""
    return opened.streams.best("audio")


def seek_before(opened: Any, stream: Any, time: int) -> bool:
    """Go to a key frame safely before a time in units of the stream; return whether that worked.

    Transport streams are sought in by guessing, and land a little late when asked exactly.
    """
    ahead = int(_AHEAD_SECONDS / stream.time_base)
    try:
        opened.seek(max(time - ahead, stream.start_time or 0), stream=stream, backward=True)
    except AV_ERRORS:
        return False
    return True


def packets(opened: Any, stream: Any) -> Iterator[Any]:
    """Give the stream's packets in file order, the empty last one left out."""
    for other in opened.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    for packet in opened.demux(stream):
        if packet.size:
            yield packet


def chunk_seconds(configured: float, allowed: float, overlap: float) -> tuple[Fraction, Fraction]:
    """Give the size of a chunk and the step to the next one, exactly, in seconds.

    The smaller of the configuration's and the model's size holds. An overlap that only the
    configured size could bear is brought to half of the model's.
    """
    size = min(Fraction(repr(float(configured))), Fraction(repr(float(allowed))))
    shared = Fraction(repr(float(overlap)))
    if shared >= size:
        shared = size / 2
    return size, size - shared


def cut_samples(
    samples: int, rate: int, size: Fraction, step: Fraction
) -> Iterator[tuple[int, int]]:
    """Give half-open ranges of samples; chunk k begins at k steps, rounded to a sample.

    The last ends with the stream, and none lies wholly inside the one before it.
    """
    longest = max(1, int(size * rate))
    number = start = end = 0
    while end < samples:
        # Never after the end of the one before, where size is no whole number of samples and
        # nothing overlaps; and never where that one began, for a step under one sample.
        start = max(min(round(number * step * rate), end), start + 1 if number else 0)
        end = min(samples, start + longest)
        yield start, end
        number += 1
