"""Decode a sound into frames of one format, each knowing the number of its first sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import groupby
from typing import Any

import av

from reembed.core.media.av_open import AV_ERRORS, packets

# Decoding begins this long before a wanted sample, so that codecs with memory have settled.
_PREROLL_SECONDS = 1


class Jump(StrEnum):
    """How a late sample is reached; reading passes over packets without decoding them."""

    DECODE = "decode"
    READ = "read"
    SEEK = "seek"


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """The format of decoded frames; the first frame's rate is the clock that numbers samples."""

    sample: str
    layout: str
    rate: int
    channels: int

    @classmethod
    def of(cls, frame: Any) -> SoundFormat:
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
    """How many packets there were, and how many of them could not be decoded."""

    packets: int = 0
    failed: int = 0


def decode_sound(opened: Any, stream: Any, damage: Damage) -> Iterator[tuple[int, Any]]:
    """Decode from the beginning; frames come with the number of their first sample.

    Samples are numbered by counting what was decoded, in the rate of the first frame; frames in
    another format (joined files) are brought to the first one's. Packets that do not decode are
    counted in `damage` and leave no samples.
    """
    expected: SoundFormat | None = None
    position = 0
    for found, run in groupby(_frames(opened, stream, damage), key=SoundFormat.of):
        expected = expected or found
        for frame in run if found == expected else _refit(run, expected):
            yield position, frame
            position += frame.samples


def decode_sound_near(
    opened: Any, stream: Any, first_pts: int, start: int, jump: Jump
) -> Iterator[tuple[int, Any]]:
    """Decode from shortly before sample `start`, numbering samples by their timestamps.

    Only for streams whose timestamps count samples exactly, as `measure_sound` found.
    `first_pts` is the timestamp of sample 0.
    """
    rate = int(stream.codec_context.sample_rate)
    ahead = Fraction(max(0, start - _PREROLL_SECONDS * rate), rate)
    begin = first_pts + int(ahead / stream.time_base)
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


def _refit(frames: Iterator[Any], expected: SoundFormat) -> Iterator[Any]:
    resampler = av.AudioResampler(
        format=expected.sample, layout=expected.layout, rate=expected.rate
    )
    for frame in frames:
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
