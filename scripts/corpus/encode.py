"""Encode sounds and films with PyAV so that the same input gives the same bytes."""

import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from PIL import Image

# Without it the Ogg and Matroska writers draw random serial numbers.
REPRODUCIBLE = {"fflags": "+bitexact"}


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """How a film is stored: container, codec, frames a second, encoder options, sound codec."""

    container: str
    codec: str
    fps: int
    options: dict[str, str] = field(default_factory=dict)
    sound_codec: str = ""
    sound_rate: int = 24_000


def to_wave(sound: np.ndarray, rate: int) -> bytes:
    """Return a WAV file of 16-bit samples, one channel."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(_sixteen_bits(sound).tobytes())
    return buffer.getvalue()


def to_sound_file(sound: np.ndarray, rate: int, kind: str, title: str) -> bytes:
    """Return a sound file of a kind: "mp3", "flac", "ogg" (Opus) or "m4a" (AAC)."""
    container, codec, bit_rate = {
        "mp3": ("mp3", "libmp3lame", 48_000 if rate > 8000 else 16_000),
        "flac": ("flac", "flac", 0),
        "ogg": ("ogg", "libopus", 64_000),
        "m4a": ("ipod", "aac", 48_000),
    }[kind]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=REPRODUCIBLE) as file:
        file.metadata["title"] = title
        stream = file.add_stream(codec, rate=rate, layout="mono")
        stream.codec_context.thread_count = 1
        if bit_rate:
            stream.codec_context.bit_rate = bit_rate
        file.mux(stream.encode(_audio_frame(sound, rate, 0)))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def to_film(frames: Iterator[Image.Image], form: FilmFormat, sound: np.ndarray | None) -> bytes:
    """Return a film of the frames, with the sound beside it unless that is None."""
    buffer = io.BytesIO()
    first = next(frames)
    with av.open(buffer, "w", format=form.container, options=REPRODUCIBLE) as file:
        video = file.add_stream(form.codec, rate=form.fps, options=form.options)
        video.width, video.height, video.pix_fmt = first.width, first.height, "yuv420p"
        video.codec_context.thread_count = 1
        audio = None
        if sound is not None:
            audio = file.add_stream(form.sound_codec, rate=form.sound_rate, layout="mono")
            audio.codec_context.thread_count = 1
        for number, image in enumerate(_chain(first, frames)):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, form.fps)
            file.mux(video.encode(frame))
            if audio is not None and sound is not None:
                file.mux(audio.encode(_beside(sound, number, form)))
        file.mux(video.encode(None))
        if audio is not None:
            file.mux(audio.encode(None))
    return buffer.getvalue()


def _chain(first: Image.Image, rest: Iterator[Image.Image]) -> Iterator[Image.Image]:
    yield first
    yield from rest


def _beside(sound: np.ndarray, number: int, form: FilmFormat) -> av.AudioFrame:
    """Return the samples that sound while a frame is shown; they are muxed beside it."""
    step = form.sound_rate // form.fps
    return _audio_frame(sound[number * step : (number + 1) * step], form.sound_rate, number * step)


def _audio_frame(sound: np.ndarray, rate: int, pts: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(_sixteen_bits(sound)[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, pts, Fraction(1, rate)
    return frame


def _sixteen_bits(sound: np.ndarray) -> np.ndarray:
    return (sound * 32767).round().astype("<i2")
