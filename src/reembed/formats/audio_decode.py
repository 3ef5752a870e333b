"""Decode and measure audio sample by sample; read and write 16-bit WAV."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import groupby
from typing import Any, BinaryIO

import av

from reembed.errors import RejectError
from reembed.formats.av import AV_ERRORS, audio_stream, keep_position, open_av, packets

HEADER_BYTES = 44
BYTES_PER_SAMPLE = 2
# Writers that cannot seek back leave 0, or a number near the largest, as the size of the data.
_STREAMING_FROM = 0x7FFF_F000


@dataclass(frozen=True, slots=True)
class WavData:
    """Extent of a WAV's samples: `declared` is the header's size, `present` what is there."""

    declared: int
    present: int

    @property
    def is_exact(self) -> bool:
        """Tell whether the header's size is exactly what is there."""
        return self.declared == self.present

    @property
    def is_cut_short(self) -> bool:
        """Tell whether samples are missing that the header counted; a streamed one counts none."""
        return self.present < self.declared < _STREAMING_FROM


def wav_bytes(samples: int, channels: int) -> int:
    """Count the bytes of a 16-bit WAV."""
    return HEADER_BYTES + samples * channels * BYTES_PER_SAMPLE


def wav_header(samples: int, rate: int, channels: int) -> bytes:
    """Give the 44 bytes before 16-bit PCM samples."""
    frame = channels * BYTES_PER_SAMPLE
    data = samples * frame
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", HEADER_BYTES - 8 + data, b"WAVE"),
        *(b"fmt ", 16, 1, channels, rate, rate * frame, frame, 8 * BYTES_PER_SAMPLE),
        *(b"data", data),
    )


def is_wav(source: BinaryIO) -> bool:
    """Say whether the file begins as a RIFF WAV (RF64, its large form, is not one)."""
    source.seek(0)
    head = source.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


def find_wav_data(source: BinaryIO) -> WavData | None:
    """Find the data chunk of a RIFF WAV; None where the file is not one or has no such chunk."""
    end = source.seek(0, os.SEEK_END)
    if not is_wav(source):
        return None
    at = 12
    while at + 8 <= end:
        source.seek(at)
        name, size = struct.unpack("<4sI", source.read(8))
        if name == b"data":
            # What follows the samples (tags) belongs to no one when the size is a lie.
            present = min(size, end - at - 8) if 0 < size < _STREAMING_FROM else end - at - 8
            return WavData(size, present)
        at += 8 + size + size % 2
    return None


# Decoding begins this long before a wanted sample, so that codecs with memory have settled.
_PREROLL_SECONDS = 1


class Jump(StrEnum):
    """Ways to reach a late sample; reading passes over packets without decoding them."""

    DECODE = "decode"
    READ = "read"
    SEEK = "seek"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Format of decoded frames; the first frame's rate is the clock that numbers samples."""

    sample: str
    layout: str
    rate: int
    channels: int

    @classmethod
    def of(cls, frame: Any) -> AudioFormat:
        """Give the format of a decoded frame."""
        layout = frame.layout
        return cls(
            str(frame.format.name),
            str(layout.name),
            int(frame.sample_rate),
            int(layout.nb_channels),
        )


@dataclass(slots=True)
class Damage:
    """Counts of packets, and of those that could not be decoded."""

    packets: int = 0
    failed: int = 0


def decode_audio(opened: Any, stream: Any, damage: Damage) -> Iterator[tuple[int, Any]]:
    """Decode from the beginning; frames come with the number of their first sample.

    Samples are numbered by counting what was decoded, in the rate of the first frame; frames in
    another format (joined files) are brought to the first one's. Packets that do not decode are
    counted in `damage` and leave no samples.
    """
    expected: AudioFormat | None = None
    position = 0
    # Joined files change their rate or layout in the middle; one clock must number all samples.
    for found, run in groupby(_frames(opened, stream, damage), key=AudioFormat.of):
        expected = expected or found
        for frame in run if found == expected else _refit(run, expected):
            yield position, frame
            position += frame.samples


def decode_audio_near(
    opened: Any, stream: Any, first_pts: int, start: int, jump: Jump
) -> Iterator[tuple[int, Any]]:
    """Decode from shortly before sample `start`, numbering samples by their timestamps.

    Only for streams whose timestamps count samples exactly, as `measure_audio` found.
    `first_pts` is the timestamp of sample 0.
    """
    rate = int(stream.codec_context.sample_rate)
    preroll = Fraction(max(0, start - _PREROLL_SECONDS * rate), rate)
    begin = first_pts + int(preroll / stream.time_base)
    if jump is Jump.SEEK:
        opened.seek(begin, stream=stream, backward=True)
    for frame in _frames(opened, stream, Damage(), begin):
        yield sample_number(frame, first_pts), frame


def sample_number(frame: Any, first_pts: int) -> int:
    """Give the number of a frame's first sample by its timestamp; -1 where it has none."""
    if frame.pts is None:
        return -1
    base = frame.time_base
    # In whole numbers: fractions cost more than decoding the frame.
    number, rest = divmod(
        (frame.pts - first_pts) * base.numerator * int(frame.sample_rate), base.denominator
    )
    return -1 if rest else number


def _frames(opened: Any, stream: Any, damage: Damage, begin: int | None = None) -> Iterator[Any]:
    for packet in packets(opened, stream):
        damage.packets += 1
        if begin is not None and packet.pts is not None and packet.pts < begin:
            continue
        try:
            yield from packet.decode()
        except AV_ERRORS:
            damage.failed += 1
    try:
        yield from stream.codec_context.decode(None)
    except (av.EOFError, *AV_ERRORS):
        damage.failed += 1


def _refit(frames: Iterator[Any], expected: AudioFormat) -> Iterator[Any]:
    resampler = av.AudioResampler(
        format=expected.sample, layout=expected.layout, rate=expected.rate
    )
    for frame in frames:
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


# Below this rate a header is damaged: the lowest in use is 4,000 Hz.
_LOWEST_RATE = 1_000
_PLAIN_RATE = 48_000
_PLAIN_CHANNELS = 2
_DAMAGED_SHARE = 10  # one packet in so many may be lost, and three in any case
_DAMAGED_FEW = 3
# Audio that ends so much before its header's word is cut short; codecs' padding is far less.
_MISSING_SECONDS = 1.0
_MISSING_SHARE = 0.02
_DECLARING = ("flac", "mov", "matroska", "aiff", "caf", "w64")
# Containers in which seeking is exact where timestamps count samples, with codecs whose samples
# do not depend on what was decoded before. MPEG's layers depend on little of it, but their files
# have no exact index. What AAC or Opus give may depend on everything.
_EXACT_SEEK = ("flac", "mov", "wav", "aiff")
_LOSSLESS = ("pcm_", "flac", "alac")
_FORGETFUL = ("mp3", "mp2")


@dataclass(frozen=True, slots=True)
class Audio:
    """Facts that decoding the whole stream has shown.

    `starts` is the stream's own time of sample 0 in seconds; `jump` is the way to a late
    chunk; unless that is decoding all before it, timestamps count samples from `first_pts`.
    """

    container: str
    codec: str
    format: AudioFormat
    samples: int
    starts: float
    first_pts: int
    jump: Jump
    damaged: bool

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.format.rate


def measure_audio(source: BinaryIO, opened: Any | None = None) -> Audio:
    """Decode the audio stream that a player would choose, from beginning to end.

    Args:
        source: the file's bytes, seekable.
        opened: its container where the caller has it open, see `open_av`.

    Raises:
        RejectError: ``audio_no_samples``, ``audio_unreadable``, ``audio_truncated``,
            ``audio_damaged``.
    """
    with keep_position(source):
        cut_short = _wav_reject(source)
    if cut_short is not None:
        raise cut_short
    with open_av(source, "audio", opened) as container:
        stream = audio_stream(container)
        if stream is None or stream.codec_context is None:
            raise RejectError(
                "audio_unreadable",
                "no decoder knows an audio stream of this file; convert it to WAV or MP3",
            )
        audio = _decode_all(container, stream)
        _check_length(container, stream, audio.seconds)
    return audio


def _wav_reject(source: BinaryIO) -> RejectError | None:
    data = find_wav_data(source)
    if data is None and not is_wav(source):
        return None
    if data is None or data.present == 0:
        return RejectError(
            "audio_no_samples", "the WAV is a header without samples; record or copy it again"
        )
    if data.is_cut_short:
        return RejectError(
            "audio_truncated",
            f"the WAV's header counts {data.declared} bytes of samples, {data.present} are there; "
            "get the whole file again",
        )
    return None


def _decode_all(opened: Any, stream: Any) -> Audio:
    damage = Damage()
    first: Any = None
    samples, counts = 0, True
    for position, frame in decode_audio(opened, stream, damage):
        if first is None:
            first = _First.of(frame)
            _check_format(first.format, frame)
        # Where timestamps drift from the samples, a seek would give other samples than decoding.
        counts = counts and sample_number(frame, first.pts) == position
        samples = position + frame.samples
    _check_damage(damage, samples)
    container = str(opened.format.name)
    codec = str(stream.codec_context.codec.canonical_name)
    return Audio(
        container=container,
        codec=codec,
        format=first.format,
        samples=samples,
        starts=first.seconds,
        first_pts=first.pts,
        jump=_jump(container, codec) if counts and not damage.failed else Jump.DECODE,
        damaged=damage.failed > 0,
    )


def _jump(container: str, codec: str) -> Jump:
    if container.split(",")[0] in _EXACT_SEEK and codec.startswith(_LOSSLESS):
        return Jump.SEEK
    return Jump.READ if codec in _FORGETFUL else Jump.DECODE


@dataclass(frozen=True, slots=True)
class _First:
    format: AudioFormat
    pts: int
    seconds: float

    @classmethod
    def of(cls, frame: Any) -> _First:
        pts = 0 if frame.pts is None else int(frame.pts)
        return cls(AudioFormat.of(frame), pts, float(pts * Fraction(frame.time_base or 0)))


def _check_format(found: AudioFormat, frame: Any) -> None:
    """Convert one frame on trial: a format that cannot become stereo would only show when sent."""
    found_format = f"{found.channels} channels of {found.rate} Hz"
    if found.rate < _LOWEST_RATE:
        raise RejectError(
            "audio_unreadable", f"{found_format} mean a damaged header; get the file again"
        )
    # Both forms that pieces are written in, see `_form` in audio.py.
    layout = found.layout if found.channels <= _PLAIN_CHANNELS else "stereo"
    for target in dict.fromkeys((layout, "mono")):
        try:
            av.AudioResampler(
                format="s16", layout=target, rate=min(found.rate, _PLAIN_RATE)
            ).resample(frame)
        except AV_ERRORS as err:
            raise RejectError(
                "audio_unreadable", f"{found_format} cannot be converted; mix it to stereo"
            ) from err


def _check_damage(damage: Damage, samples: int) -> None:
    if not samples:
        if damage.failed:
            raise RejectError(
                "audio_unreadable",
                f"none of {damage.packets} audio packets decodes; get the file again",
            )
        raise RejectError("audio_no_samples", "the file has no samples; record or copy it again")
    if damage.failed > max(_DAMAGED_FEW, damage.packets // _DAMAGED_SHARE):
        raise RejectError(
            "audio_damaged",
            f"{damage.failed} of {damage.packets} audio packets do not decode; get the file again",
        )


def _check_length(opened: Any, stream: Any, seconds: float) -> None:
    """Compare with the header where that counts samples; others only guess from the size."""
    if str(opened.format.name).split(",")[0] not in _DECLARING:
        return
    if stream.duration and stream.time_base:
        declared = float(stream.duration * stream.time_base)
    else:
        declared = (opened.duration or 0) / 1_000_000
    if declared - seconds > max(_MISSING_SECONDS, declared * _MISSING_SHARE):
        raise RejectError(
            "audio_truncated",
            f"the header promises {declared:.1f} s of audio, {seconds:.1f} s are there; "
            "get the whole file again",
        )
