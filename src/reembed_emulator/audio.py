"""Audio: the service's checks, and features of the spectrum."""

from __future__ import annotations

import io
import math
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from reembed_emulator.errors import RowError
from reembed_emulator.image import unit

# By the vendor's model page: MP3 and WAV, 25 tokens a second, at most 180 seconds. Pages of the
# preview say 80 seconds.
FORMATS = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
}
MAX_SECONDS = 180.0
TOKENS_PER_SECOND = 25
# An MP3 of exactly the limit is padded to whole frames by its encoder.
_GRACE = 0.1
_RATE = 16_000
_WINDOW = 1024
_BANDS = 40


def count_tokens(seconds: float) -> int:
    """Return the tokens of a recording: 25 for each second begun."""
    return max(1, math.ceil(min(seconds, MAX_SECONDS) - 1e-6)) * TOKENS_PER_SECOND


def read_audio(data: bytes, mime_type: str) -> tuple[float, npt.NDArray[np.float32]]:
    """Return the length in seconds, as decoded, and the features.

    Raises:
        RowError: Not MP3 or WAV as declared, damaged, empty, or longer than 180 seconds.
    """
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if container.format.name != FORMATS[mime_type] or not container.streams.audio:
                found = container.format.name
                raise RowError(f"Unable to process input audio: declared {mime_type}, is {found}.")
            samples = _decode(container)
            declared = (container.duration or 0) / av.time_base
    except (av.FFmpegError, ValueError, IndexError) as err:
        raise RowError(f"Unable to process input audio: {err}"[:200]) from err
    seconds = len(samples) / _RATE
    if seconds > MAX_SECONDS + _GRACE:
        raise RowError(f"The audio is longer than the limit of {MAX_SECONDS:.0f} seconds.")
    # Headers estimate the length of an MP3, so only a gross shortfall counts as damage.
    if seconds == 0 or seconds < declared / 2:
        raise RowError("Unable to process input audio: the data ends too early.")
    return seconds, audio_features(samples)


def audio_features(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return float32[n] of the mean spectrum, its deviation, and its change over four parts."""
    padded = np.pad(samples, (0, max(0, _WINDOW * 4 - len(samples))))
    frames = padded[: len(padded) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)) ** 2
    # Bands of equal ratio and logarithmic power, as hearing works.
    edges = np.unique(np.geomspace(2, _WINDOW // 2, _BANDS + 1).astype(np.int64))
    bands = np.log1p(np.add.reduceat(power, edges[:-1], axis=1) * 100).astype(np.float32)
    mean = bands.mean(axis=0)
    parts = [part.mean(axis=0) - mean for part in np.array_split(bands, 4)]
    groups = [
        unit(mean - mean.mean()),
        0.5 * unit(bands.std(axis=0)),
        0.3 * unit(np.concatenate(parts)),
    ]
    # The constant keeps silence from having no features at all.
    return np.concatenate([*groups, [0.05]]).astype(np.float32)


def _decode(container: Any) -> npt.NDArray[np.float32]:
    """Return mono samples at 16 kHz; stop soon after the limit, whatever the headers say."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
    blocks: list[npt.NDArray[np.float32]] = []
    total, bound = 0, int((MAX_SECONDS + 1) * _RATE)
    try:
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                block: Any = part.to_ndarray().ravel()
                blocks.append(block)
                total += len(block)
            if total > bound:
                break
    except av.FFmpegError:
        # Damage after a beginning: the caller compares what was decoded with the declared length.
        if not blocks:
            raise
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
