"""Cut audio: whole where the model takes it, else WAV pieces cut at the sample."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np

from reembed.config.models import AudioLimits
from reembed.errors import RejectError
from reembed.formats.audio_decode import (
    BYTES_PER_SAMPLE,
    Audio,
    Damage,
    Jump,
    decode_audio,
    decode_audio_near,
    find_wav_data,
    measure_audio,
    wav_bytes,
    wav_header,
)
from reembed.formats.av import audio_stream, chunk_seconds, cut_samples, open_av, unreadable
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import format_named
from reembed.types import Piece, Pieces, Recipe

WAV = format_named("wav").mime_type
_HIGHEST_RATE = 48_000
_MOST_CHANNELS = 2
_SMALL_RATE = 16_000
# A begun second may be counted whole, and the audio may be framed by two marker tokens.
_TOKEN_MARGIN = 2
_PLAIN_PCM = ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le")
# What a container and codec of FFmpeg's may be sent as without conversion.
_SENT_AS = {
    ("mp3", "mp3"): "mp3",
    ("flac", "flac"): "flac",
    ("ogg", "vorbis"): "ogg",
    ("ogg", "opus"): "ogg",
    ("ogg", "flac"): "ogg",
    ("aac", "aac"): "aac",
    ("aiff", "pcm_s16be"): "aiff",
    ("mov,mp4,m4a,3gp,3g2,mj2", "aac"): "m4a",
}


@dataclass(frozen=True, slots=True)
class _Form:
    """Rate and channels of converted samples."""

    rate: int
    channels: int


def cut_audio(source: BinaryIO, policy: ChunkPolicy, opened: Any | None = None) -> Pieces:
    """Cut an audio file; start and end are seconds of the real cut.

    Args:
        source: the file's bytes, seekable.
        policy: limits.
        opened: its container where the caller has it open, see `open_av`.

    Raises:
        RejectError: ``audio_no_samples``, ``audio_unreadable``, ``audio_truncated``,
            ``audio_damaged``, ``audio_type_not_taken``, ``media_too_large``.
    """
    limits = audio_limits(policy)
    audio = measure_audio(source, opened)
    mime, size = _mime(audio, source), source.seek(0, os.SEEK_END)
    longest = min(policy.chunking.audio.max_seconds, limits.max_seconds)
    fits = audio.seconds <= longest and size <= policy.max_media_bytes
    # Damaged packets were skipped here; another decoder may stop at the first of them.
    if mime in limits.mime_types and fits and not audio.damaged:
        return Pieces((_piece(limits, Recipe("as_is", mime), (0.0, audio.seconds), size),))
    return Pieces(cut_audio_part(audio, policy))


def cut_audio_part(audio: Audio, policy: ChunkPolicy, shift: float = 0.0) -> tuple[Piece, ...]:
    """Cut measured audio into pieces of WAV; `shift` seconds are added to their times.

    Raises:
        RejectError: ``audio_type_not_taken``, ``media_too_large``.
    """
    limits = audio_limits(policy)
    if WAV not in limits.mime_types:
        raise RejectError(
            "audio_type_not_taken",
            f"it must be converted, and the model takes no WAV but only "
            f"{', '.join(limits.mime_types)}; convert it to one of these, cut to length",
        )
    wanted = policy.chunking.audio
    size, step = chunk_seconds(wanted.max_seconds, limits.max_seconds, wanted.overlap_seconds)
    spans = list(cut_samples(audio.samples, audio.format.rate, size, step))
    # One form for all pieces of a file: they differ in nothing but their time.
    form = _form(audio, max(end - start for start, end in spans), policy.max_media_bytes)
    return tuple(_audio_piece(audio, span, form, (limits, shift)) for span in spans)


def audio_limits(policy: ChunkPolicy) -> AudioLimits:
    """Give the model's limits of audio.

    Raises:
        RejectError: ``modality_unsupported``.
    """
    if policy.spec.audio is None:
        raise RejectError("modality_unsupported", f"{policy.spec.name} takes no audio")
    return policy.spec.audio


def written_samples(samples: int, source_rate: int, rate: int) -> int:
    """Count the samples that a cut of `samples` has in another rate, a begun one as whole."""
    return math.ceil(Fraction(samples * rate, source_rate))


def _mime(audio: Audio, source: BinaryIO) -> str:
    if audio.container != "wav":
        name = _SENT_AS.get((audio.container, audio.codec))
        return format_named(name).mime_type if name else ""
    data = find_wav_data(source)
    # Decoders differ in what they make of a header that counts other samples than are there.
    plain = audio.codec in _PLAIN_PCM and data is not None and data.is_exact
    return WAV if plain else ""


def _form(audio: Audio, longest: int, max_bytes: int) -> _Form:
    """Choose the rate and channels of all pieces: the source's, or mono 16 kHz to fit."""
    found = audio.format
    small = _Form(min(found.rate, _SMALL_RATE), 1)
    for form in (
        _Form(min(found.rate, _HIGHEST_RATE), min(found.channels, _MOST_CHANNELS)),
        small,
    ):
        if wav_bytes(written_samples(longest, found.rate, form.rate), form.channels) <= max_bytes:
            return form
    raise RejectError(
        "media_too_large",
        f"{longest / found.rate:.1f} s of audio are above {max_bytes} bytes even as mono "
        f"{small.rate} Hz; lower chunking.audio.max_seconds or raise batch.max_input_mb",
    )


def _audio_piece(
    audio: Audio, span: tuple[int, int], form: _Form, given: tuple[AudioLimits, float]
) -> Piece:
    (start, end), (limits, shift) = span, given
    rate = audio.format.rate
    seconds = (shift + start / rate, shift + end / rate)
    options = {
        "channels": str(form.channels),
        "first_pts": str(audio.first_pts),
        "from": str(start),
        "jump": audio.jump.value,
        "rate": str(form.rate),
        "until": str(end),
    }
    recipe = Recipe("audio", WAV, *seconds, options=tuple(sorted(options.items())))
    weight = wav_bytes(written_samples(end - start, rate, form.rate), form.channels)
    return _piece(limits, recipe, seconds, weight)


def _piece(limits: AudioLimits, recipe: Recipe, seconds: tuple[float, float], weight: int) -> Piece:
    start, end = seconds
    # Rounding before the ceiling: 180 s must not become 181 for a last bit of a float.
    whole = math.ceil(round(end - start, 6))
    tokens = math.ceil(whole * limits.tokens_per_second) + _TOKEN_MARGIN
    return Piece("audio", recipe.mime_type, tokens, weight, start, end, "second", recipe=recipe)


def render_audio(recipe: Recipe, source: BinaryIO) -> bytes:
    """Decode the piece's samples and write them as 16-bit WAV.

    Raises:
        RejectError: ``audio_unreadable``, or ``media_changed`` where the samples are not there.
    """
    cut = _Cut.of(recipe)
    # A jump that did not meet the very samples is not trusted: decoding all decides.
    written = None if cut.jump is Jump.DECODE else _write(cut, source, cut.jump)
    written = written or _write(cut, source, Jump.DECODE)
    if written is None:
        raise RejectError(
            "media_changed",
            f"the audio no longer has the samples {cut.start} to {cut.end} that were planned; "
            "plan again",
        )
    return written


@dataclass(frozen=True, slots=True)
class _Cut:
    """Options of a recipe, parsed."""

    start: int
    end: int
    rate: int
    channels: int
    jump: Jump
    first_pts: int

    @classmethod
    def of(cls, recipe: Recipe) -> _Cut:
        options = dict(recipe.options)
        return cls(
            start=int(options["from"]),
            end=int(options["until"]),
            rate=int(options["rate"]),
            channels=int(options["channels"]),
            # Codecs trim their padding only when decoded from the beginning.
            jump=Jump.DECODE if options["from"] == "0" else Jump(options["jump"]),
            first_pts=int(options["first_pts"]),
        )


def _write(cut: _Cut, source: BinaryIO, jump: Jump) -> bytes | None:
    """Give the WAV; None where not exactly the wanted samples were found."""
    writer = _Writer(cut)
    with open_av(source, "audio") as opened:
        stream = audio_stream(opened)
        if stream is None or stream.codec_context is None:
            raise unreadable("audio", "no audio stream")
        if jump is Jump.DECODE:
            decoded = decode_audio(opened, stream, Damage())
        else:
            decoded = decode_audio_near(opened, stream, cut.first_pts, cut.start, jump)
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
        # Samples are counted here; timestamps must not move them.
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
