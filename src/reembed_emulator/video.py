"""Video: the service's checks, and features of a few frames."""

from __future__ import annotations

import io
import math
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from reembed_emulator.errors import RowError
from reembed_emulator.image import image_features

# By the vendor's model page: MP4 and MOV with these codecs, at most 120 seconds, 66 tokens for
# each of at most 32 frames.
MIME_TYPES = frozenset({"video/mp4", "video/quicktime", "video/mov"})
MAX_SECONDS = 120.0
MAX_FRAMES = 32
TOKENS_PER_FRAME = 66
_CODECS = frozenset({"h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9"})
# Encoders pad the last frame.
_GRACE = 0.1
_SAMPLED_FRAMES = 8


def count_tokens(seconds: float) -> int:
    """Return the tokens of a video: 66 for each of at most 32 frames, one a second."""
    return min(MAX_FRAMES, max(1, math.ceil(seconds - 1e-6))) * TOKENS_PER_FRAME


def read_video(data: bytes, mime_type: str) -> tuple[float, npt.NDArray[np.float32]]:
    """Return the length in seconds and the features.

    The audio track is not read: so says the vendor's page, though a third-party guide differs.

    Raises:
        RowError: No MP4 or MOV with H.264, H.265, AV1 or VP9, damaged, or above 120 seconds.
    """
    try:
        with av.open(io.BytesIO(data)) as container:
            seconds = _check(container, mime_type)
            times = [seconds * part / _SAMPLED_FRAMES for part in range(_SAMPLED_FRAMES)]
            sampled = [_frame_at(container, second) for second in times]
    except (av.FFmpegError, ValueError, IndexError) as err:
        raise RowError(f"Unable to process input video: {err}"[:200]) from err
    decoded = [frame for frame in sampled if frame is not None]
    if len(decoded) * 2 < len(sampled):
        raise RowError("Unable to process input video: too few frames can be decoded.")
    frames = np.stack(decoded)
    half = len(decoded) // 2
    motion = frames[:half].mean(axis=0) - frames[half:].mean(axis=0)
    return seconds, np.concatenate([frames.mean(axis=0), 0.5 * motion])


def _check(container: Any, mime_type: str) -> float:
    """Return the length in seconds; raise RowError for what the service does not read."""
    if "mp4" not in container.format.name or not container.streams.video:
        found = container.format.name
        raise RowError(f"Unable to process input video: declared {mime_type}, is {found}.")
    stream = container.streams.video[0]
    context = stream.codec_context
    codec = context.name if context is not None else "unknown"
    if codec not in _CODECS:
        raise RowError(f"Unable to process input video: codec {codec} is not supported.")
    # The length of the images, not of the container: an audio track may be longer.
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
                return image_features(frame.to_image())
    except av.FFmpegError:
        # One damaged frame is no verdict: the caller counts how many could be decoded.
        return None
    return None
