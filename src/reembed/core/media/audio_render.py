"""Make the WAV of one piece of a sound: exactly the samples that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np

from reembed.core.media.audio import written_samples
from reembed.core.media.audio_decode import Damage, Jump, decode_sound, decode_sound_near
from reembed.core.media.audio_wav import BYTES_PER_SAMPLE, wav_header
from reembed.core.media.av_open import open_av, sound_stream, unreadable
from reembed.errors import RejectError
from reembed.types import Recipe


def render_audio(recipe: Recipe, source: BinaryIO) -> bytes:
    """Decode the piece's samples and write them as 16-bit WAV.

    Raises:
        RejectError: ``audio_unreadable``, or ``media_changed`` where the samples are not there.
    """
    cut = _Cut.of(recipe)
    written = None if cut.jump is Jump.DECODE else _write(cut, source, cut.jump)
    written = written or _write(cut, source, Jump.DECODE)
    if written is None:
        raise RejectError(
            "media_changed",
            f"the sound no longer has the samples {cut.start} to {cut.end} that were planned; "
            "plan again",
        )
    return written


@dataclass(frozen=True, slots=True)
class _Cut:
    """A recipe's options, read."""

    start: int
    end: int
    rate: int
    channels: int
    jump: Jump
    first_pts: int

    @classmethod
    def of(cls, recipe: Recipe) -> _Cut:
        told = dict(recipe.options)
        return cls(
            start=int(told["from"]),
            end=int(told["until"]),
            rate=int(told["rate"]),
            channels=int(told["channels"]),
            # Codecs trim their padding only when decoded from the beginning.
            jump=Jump.DECODE if told["from"] == "0" else Jump(told["jump"]),
            first_pts=int(told["first_pts"]),
        )


def _write(cut: _Cut, source: BinaryIO, jump: Jump) -> bytes | None:
    """Give the WAV; None where not exactly the wanted samples were found."""
    writer = _Writer(cut)
    with open_av(source, "audio") as opened:
        stream = sound_stream(opened)
        if stream is None or stream.codec_context is None:
            raise unreadable("audio", "no stream of sound")
        if jump is Jump.DECODE:
            decoded = decode_sound(opened, stream, Damage())
        else:
            decoded = decode_sound_near(opened, stream, cut.first_pts, cut.start, jump)
        for frame in _within(decoded, cut.start, cut.end):
            writer.add(frame)
        return writer.finish() if writer.taken == cut.end - cut.start else None


def _within(decoded: Iterator[tuple[int, Any]], start: int, end: int) -> Iterator[Any]:
    """Give the frames between two samples, the first and last trimmed."""
    for position, frame in decoded:
        if position >= end:
            return
        before, after = max(0, start - position), min(frame.samples, end - position)
        if before >= after:
            continue
        yield frame if (before, after) == (0, frame.samples) else _trim(frame, before, after)


def _trim(frame: Any, before: int, after: int) -> Any:
    values = frame.to_ndarray()
    width = 1 if frame.format.is_planar else frame.layout.nb_channels
    part = np.ascontiguousarray(values[:, before * width : after * width])
    trimmed = av.AudioFrame.from_ndarray(part, format=frame.format.name, layout=frame.layout.name)
    trimmed.sample_rate = frame.sample_rate
    return trimmed


class _Writer:
    """Collects frames as interleaved 16 bits."""

    def __init__(self, cut: _Cut) -> None:
        self._cut = cut
        self._pcm = bytearray()
        self._resampler: Any = None
        self._source_rate = 0
        self.taken = 0

    def add(self, frame: Any) -> None:
        """Convert a frame; all have the format of the first."""
        if self._resampler is None:
            self._source_rate = int(frame.sample_rate)
            self._resampler = av.AudioResampler(
                format="s16", layout=self._layout(frame), rate=self._cut.rate
            )
        self.taken += frame.samples
        frame.pts = None
        self._convert(frame)

    def finish(self) -> bytes:
        """Give the WAV; a change of rate may end a sample early: silence fills it."""
        self._convert(None)
        if not self._pcm:
            raise unreadable("audio", "its samples convert to nothing")
        samples = written_samples(self.taken, self._source_rate, self._cut.rate)
        wanted = samples * self._cut.channels
        values = np.frombuffer(self._pcm, np.int16)[:wanted]
        header = wav_header(samples, self._cut.rate, self._cut.channels)
        silence = bytes(BYTES_PER_SAMPLE * (wanted - values.size))
        return b"".join((header, values.astype("<i2", copy=False).data, silence))

    def _convert(self, frame: Any) -> None:
        for part in self._resampler.resample(frame):
            # The plane is longer than its samples: it is padded for the processor's sake.
            size = part.samples * self._cut.channels * BYTES_PER_SAMPLE
            self._pcm += memoryview(part.planes[0])[:size]

    def _layout(self, frame: Any) -> str:
        if frame.layout.nb_channels == self._cut.channels:
            return str(frame.layout.name)
        return "mono" if self._cut.channels == 1 else "stereo"
