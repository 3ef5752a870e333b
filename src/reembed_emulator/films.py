"""Read a film as the service does, and describe it by a few of its frames."""

from __future__ import annotations

import io
import math
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from reembed_emulator.errors import RowError
from reembed_emulator.pictures import describe_image

MAX_SECONDS = 120.0
MAX_FRAMES = 32
TOKENS_PER_FRAME = 66
_GRACE = 0.1
_LOOKED_AT = 8
_TYPES = frozenset({"video/mp4", "video/quicktime", "video/mov"})
_CODECS = frozenset({"h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9"})


def is_video(mime_type: str) -> bool:
    """Return whether the type is one of the films that the service reads."""
    return mime_type in _TYPES


def video_tokens(seconds: float) -> int:
    """Return the tokens of a film: 66 for each of at most 32 frames, one a second."""
    return min(MAX_FRAMES, max(1, math.ceil(seconds - 1e-6))) * TOKENS_PER_FRAME


def read_video(data: bytes, mime_type: str) -> tuple[float, npt.NDArray[np.float32]]:
    """Return the length in seconds and the description; the sound track is not read.

    Raises:
        RowError: No MP4 or MOV with H.264, H.265, AV1 or VP9, damaged, or above 120 seconds.
    """
    try:
        with av.open(io.BytesIO(data)) as container:
            seconds = _check(container, mime_type)
            frames = [_frame_at(container, seconds * part / _LOOKED_AT) for part in range(8)]
    except (av.FFmpegError, ValueError, IndexError) as err:
        raise RowError(f"Unable to process input video: {err}"[:200]) from err
    seen = [frame for frame in frames if frame is not None]
    if len(seen) * 2 < len(frames):
        raise RowError("Unable to process input video: too few frames can be decoded.")
    described = np.stack(seen)
    half = len(seen) // 2
    motion = described[:half].mean(axis=0) - described[half:].mean(axis=0)
    return seconds, np.concatenate([described.mean(axis=0), 0.5 * motion])


def _check(container: Any, mime_type: str) -> float:
    if "mp4" not in container.format.name or not container.streams.video:
        found = container.format.name
        raise RowError(f"Unable to process input video: declared {mime_type}, is {found}.")
    context = container.streams.video[0].codec_context
    codec = context.name if context is not None else "unknown"
    if codec not in _CODECS:
        raise RowError(f"Unable to process input video: codec {codec} is not supported.")
    stream = container.streams.video[0]
    length = float(stream.duration * stream.time_base) if stream.duration else 0.0
    seconds = length or (container.duration or 0) / av.time_base
    if seconds > MAX_SECONDS + _GRACE:
        raise RowError(f"The video is longer than the limit of {MAX_SECONDS:.0f} seconds.")
    return seconds


def _frame_at(container: Any, second: float) -> npt.NDArray[np.float32] | None:
    try:
        container.seek(int(second * av.time_base), backward=True)
        for frame in container.decode(video=0):
            if frame.time is None or frame.time >= second - 0.05:
                return describe_image(frame.to_image())
    except av.FFmpegError:
        return None
    return None
