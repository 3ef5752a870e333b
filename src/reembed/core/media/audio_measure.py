"""Decode a sound once, keeping nothing, to learn how long it really is and how it may be cut."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av

from reembed.core.media.audio_decode import Damage, Jump, SoundFormat, decode_sound, sample_number
from reembed.core.media.audio_wav import find_wav_data, is_wav
from reembed.core.media.av_open import AV_ERRORS, open_av, place_kept, sound_stream
from reembed.errors import RejectError

# Below this rate a header is damaged: the lowest in use is 4,000 Hz.
_LOWEST_RATE = 1_000
_PLAIN_RATE = 48_000
_PLAIN_CHANNELS = 2
_DAMAGED_SHARE = 10  # one packet in so many may be lost, and three in any case
_DAMAGED_FEW = 3
# A sound that ends so much before its header's word is cut short; codecs' padding is far less.
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
class Sound:
    """What decoding the whole sound showed.

    `starts` is the stream's own time of sample 0 in seconds; `jump` says how a late
    chunk is reached; unless by decoding all before it, timestamps count samples from `first_pts`.
    """

    container: str
    codec: str
    format: SoundFormat
    samples: int
    starts: float
    first_pts: int
    jump: Jump
    damaged: bool

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.format.rate


def measure_sound(source: BinaryIO, opened: Any | None = None) -> Sound:
    """Decode the sound that a player would choose, from beginning to end.

    Args:
        source: the file's bytes, seekable.
        opened: its container where the caller has it open, see `open_av`.

    Raises:
        RejectError: ``audio_no_samples``, ``audio_unreadable``, ``audio_truncated``,
            ``audio_damaged``.
    """
    with place_kept(source):
        cut_short = _wav_reject(source)
    if cut_short is not None:
        raise cut_short
    with open_av(source, "audio", opened) as container:
        stream = sound_stream(container)
        if stream is None or stream.codec_context is None:
            raise RejectError(
                "audio_unreadable",
                "there is no sound that a decoder knows in this file; convert it to WAV or MP3",
            )
        sound = _decode_all(container, stream)
        _check_length(container, stream, sound.seconds)
    return sound


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


def _decode_all(opened: Any, stream: Any) -> Sound:
    damage = Damage()
    first: Any = None
    samples, counts = 0, True
    for position, frame in decode_sound(opened, stream, damage):
        if first is None:
            first = _First.of(frame)
            _check_format(first.format, frame)
        counts = counts and sample_number(frame, first.pts) == position
        samples = position + frame.samples
    _check_damage(damage, samples)
    container = str(opened.format.name)
    codec = str(stream.codec_context.codec.canonical_name)
    return Sound(
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
    format: SoundFormat
    pts: int
    seconds: float

    @classmethod
    def of(cls, frame: Any) -> _First:
        pts = 0 if frame.pts is None else int(frame.pts)
        return cls(SoundFormat.of(frame), pts, float(pts * Fraction(frame.time_base or 0)))


def _check_format(found: SoundFormat, frame: Any) -> None:
    """Convert one frame on trial: a format without a way to stereo would only show when sent."""
    told = f"{found.channels} channels of {found.rate} Hz"
    if found.rate < _LOWEST_RATE:
        raise RejectError("audio_unreadable", f"{told} mean a damaged header; get the file again")
    layout = found.layout if found.channels <= _PLAIN_CHANNELS else "stereo"
    for target in dict.fromkeys((layout, "mono")):
        try:
            av.AudioResampler(
                format="s16", layout=target, rate=min(found.rate, _PLAIN_RATE)
            ).resample(frame)
        except AV_ERRORS as err:
            raise RejectError(
                "audio_unreadable", f"{told} cannot be converted; mix the sound to stereo"
            ) from err


def _check_damage(damage: Damage, samples: int) -> None:
    if not samples:
        if damage.failed:
            raise RejectError(
                "audio_unreadable",
                f"none of {damage.packets} packets of sound decodes; get the file again",
            )
        raise RejectError("audio_no_samples", "the file holds no samples; record or copy it again")
    if damage.failed > max(_DAMAGED_FEW, damage.packets // _DAMAGED_SHARE):
        raise RejectError(
            "audio_damaged",
            f"{damage.failed} of {damage.packets} packets of sound do not decode; "
            "get the file again",
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
            f"the header promises {declared:.1f} s of sound, {seconds:.1f} s are there; "
            "get the whole file again",
        )
