"""Cut sounds: whole where the model takes them, else pieces of 16-bit WAV cut at the sample."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

from reembed.config.models import AudioLimits
from reembed.core.media.audio_measure import Sound, measure_sound
from reembed.core.media.audio_wav import find_wav_data, wav_bytes
from reembed.core.media.av_spans import chunk_seconds, cut_samples
from reembed.core.policy import ChunkPolicy
from reembed.errors import RejectError
from reembed.types import Piece, Pieces, Recipe

WAV = "audio/wav"
_HIGHEST_RATE = 48_000
_MOST_CHANNELS = 2
_SMALL_RATE = 16_000
# A begun second may be counted whole, and the sound may be framed by two marker tokens.
_TOKEN_MARGIN = 2
_PLAIN_PCM = ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le")
_CONTAINERS = {
    ("mp3", "mp3"): "audio/mpeg",
    ("flac", "flac"): "audio/flac",
    ("ogg", "vorbis"): "audio/ogg",
    ("ogg", "opus"): "audio/ogg",
    ("ogg", "flac"): "audio/ogg",
    ("aac", "aac"): "audio/aac",
    ("aiff", "pcm_s16be"): "audio/aiff",
    ("mov,mp4,m4a,3gp,3g2,mj2", "aac"): "audio/mp4",
}


@dataclass(frozen=True, slots=True)
class _Form:
    """How converted samples are written."""

    rate: int
    channels: int


def cut_audio(source: BinaryIO, policy: ChunkPolicy, opened: Any | None = None) -> Pieces:
    """Cut a sound; start and end are seconds of the real cut.

    Args:
        source: the file's bytes, seekable.
        policy: limits.
        opened: its container where the caller has it open, see `open_av`.

    Raises:
        RejectError: ``audio_no_samples``, ``audio_unreadable``, ``audio_truncated``,
            ``audio_damaged``, ``audio_type_not_taken``, ``media_too_large``.
    """
    limits = sound_limits(policy)
    sound = measure_sound(source, opened)
    mime, size = _mime(sound, source), source.seek(0, os.SEEK_END)
    longest = min(policy.chunking.audio.max_seconds, limits.max_seconds)
    fits = sound.seconds <= longest and size <= policy.max_media_bytes
    if mime in limits.mime_types and fits and not sound.damaged:
        return Pieces((_piece(limits, Recipe("as_is", mime), (0.0, sound.seconds), size),))
    return Pieces(cut_sound(sound, policy))


def cut_sound(sound: Sound, policy: ChunkPolicy, shift: float = 0.0) -> tuple[Piece, ...]:
    """Cut a measured sound into pieces of WAV; `shift` seconds are added to their times.

    Raises:
        RejectError: ``audio_type_not_taken``, ``media_too_large``.
    """
    limits = sound_limits(policy)
    if WAV not in limits.mime_types:
        raise RejectError(
            "audio_type_not_taken",
            f"the sound must be converted, and the model takes no WAV but only "
            f"{', '.join(limits.mime_types)}; convert it to one of these, cut to length",
        )
    wanted = policy.chunking.audio
    size, step = chunk_seconds(wanted.max_seconds, limits.max_seconds, wanted.overlap_seconds)
    spans = list(cut_samples(sound.samples, sound.format.rate, size, step))
    form = _form(sound, max(end - start for start, end in spans), policy.max_media_bytes)
    return tuple(_sound_piece(sound, span, form, (limits, shift)) for span in spans)


def sound_limits(policy: ChunkPolicy) -> AudioLimits:
    """Give the model's limits of sounds.

    Raises:
        RejectError: ``modality_unsupported``.
    """
    if policy.spec.audio is None:
        raise RejectError("modality_unsupported", f"{policy.spec.name} takes no sounds")
    return policy.spec.audio


def written_samples(samples: int, source_rate: int, rate: int) -> int:
    """Count the samples that a cut of `samples` has in another rate, a begun one as whole."""
    return math.ceil(Fraction(samples * rate, source_rate))


def _mime(sound: Sound, source: BinaryIO) -> str:
    if sound.container != "wav":
        return _CONTAINERS.get((sound.container, sound.codec), "")
    data = find_wav_data(source)
    plain = sound.codec in _PLAIN_PCM and data is not None and data.is_honest
    return WAV if plain else ""


def _form(sound: Sound, longest: int, max_bytes: int) -> _Form:
    """Choose the rate and channels of all pieces: the source's, or mono 16 kHz to fit."""
    found = sound.format
    small = _Form(min(found.rate, _SMALL_RATE), 1)
    for form in (
        _Form(min(found.rate, _HIGHEST_RATE), min(found.channels, _MOST_CHANNELS)),
        small,
    ):
        if wav_bytes(written_samples(longest, found.rate, form.rate), form.channels) <= max_bytes:
            return form
    raise RejectError(
        "media_too_large",
        f"{longest / found.rate:.1f} s of sound are above {max_bytes} bytes even as mono "
        f"{small.rate} Hz; lower chunking.audio.max_seconds or raise batch.max_input_mb",
    )


def _sound_piece(
    sound: Sound, span: tuple[int, int], form: _Form, given: tuple[AudioLimits, float]
) -> Piece:
    (start, end), (limits, shift) = span, given
    rate = sound.format.rate
    seconds = (shift + start / rate, shift + end / rate)
    options = {
        "channels": str(form.channels),
        "first_pts": str(sound.first_pts),
        "from": str(start),
        "jump": sound.jump.value,
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
