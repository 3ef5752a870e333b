"""Small images, audio files, videos and PDFs, the same bytes every time."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pikepdf
from PIL import Image

from reembed.config.schema import ChunkingConfig, ModelConfig
from reembed.errors import RejectError
from reembed.formats.policy import ChunkPolicy


def policy(limits: dict[str, Any] | None = None, max_media_bytes: int = 10**9, **chunking: Any):
    model = ModelConfig(limits=limits or {})
    return ChunkPolicy(
        chunking=ChunkingConfig.model_validate(chunking),
        spec=model.spec(),
        dimensions=model.dimensions,
        task=model.task,
        max_media_bytes=max_media_bytes,
    )


def without(modality: str) -> ChunkPolicy:
    usual = policy()
    return replace(usual, spec=usual.spec.model_copy(update={modality: None}))


def reject_code(call: Callable[[], object]) -> str | None:
    """The code of the reject that a call ends with, None where it ends well."""
    try:
        call()
    except RejectError as reject:
        return reject.code
    return None


# Images.


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def gradient(width: int, height: int) -> np.ndarray:
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return np.stack([across, down, 255 - across], -1).astype(np.uint8)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def image_file(
    form: str, mode: str = "RGB", size: tuple[int, int] = (60, 40), **options: Any
) -> bytes:
    return encoded(Image.fromarray(gradient(*size)).convert(mode), form, **options)


def animation(form: str, **options: Any) -> bytes:
    frames = [Image.fromarray(noise(32, 24, seed=seed)) for seed in range(3)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)


# Audio.


def tone(samples: int, rate: int, channels: int = 1) -> np.ndarray:
    """A sweep with noise, as (samples, channels) of int16: no two places are alike."""
    time = np.arange(samples) / rate
    sweep = np.sin(2 * np.pi * (200 + 40 * time) * time) * 9000
    rough = np.random.default_rng(1).normal(0, 300, samples)
    mono = (sweep + rough).astype(np.int16)
    return np.stack([np.roll(mono, 7 * c) for c in range(channels)], -1)


def wav(values: np.ndarray, rate: int, declared: int | None = None) -> bytes:
    data = values.astype("<i2").tobytes()
    size = len(data) if declared is None else declared
    channels = values.shape[1]
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    riff = min(0xFFFFFFFF, 36 + size)
    return b"".join(
        (
            *(b"RIFF", struct.pack("<I", riff), b"WAVEfmt ", struct.pack("<I", 16), head),
            *(b"data", struct.pack("<I", size), data),
        )
    )


def wav_values(data: bytes) -> tuple[int, np.ndarray]:
    """The rate and the samples of a 16-bit WAV with a 44-byte header."""
    channels, rate = struct.unpack("<HI", data[22:28])
    return rate, np.frombuffer(data[44:], "<i2").reshape(-1, channels)


def audio_file(
    container: str,
    codec: str,
    rate: int = 16_000,
    seconds: float = 3.0,
    channels: int = 1,
    cover: bool = False,
) -> bytes:
    out = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout = layout
        images = _cover(file) if cover else []
        values = tone(int(rate * seconds), rate, channels)
        frame: Any = av.AudioFrame.from_ndarray(values.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        for packet in images:
            file.mux(packet)
        for each in (frame, None):
            for packet in stream.encode(each):
                file.mux(packet)
    return out.getvalue()


def _cover(file: Any) -> list[Any]:
    stream = file.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(gradient(32, 32), "rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    return [*stream.encode(frame), *stream.encode(None)]


def samples_of(data: bytes) -> np.ndarray:
    """All samples of lossless audio, decoded in one go, as 16 bits."""
    resampler = None
    parts = []
    with av.open(io.BytesIO(data)) as file:
        for frame in file.decode(audio=0):
            resampler = resampler or av.AudioResampler("s16", frame.layout.name, frame.sample_rate)
            channels = frame.layout.nb_channels
            parts += [p.to_ndarray().reshape(-1, channels) for p in resampler.resample(frame)]
    return np.concatenate(parts)


# Videos. Every frame has a column of bars that spells its number.

BITS = 8


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    pixels = np.full((height, width, 3), 40, np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            pixels[:, bit * width // BITS : (bit + 1) * width // BITS] = 220
    return pixels


def number_of(frame: Any) -> int:
    grey = frame.to_ndarray(format="gray")
    columns = grey.reshape(grey.shape[0], BITS, -1).mean(axis=(0, 2))
    return sum(int(mean > 128) << bit for bit, mean in enumerate(columns))


def video_file(
    container: str = "mp4",
    codec: str = "libx264",
    frames: int = 100,
    every: int = 10,
    fps: int = 10,
    times: list[int] | None = None,
    with_sound: bool = False,
    muxing: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    """A video of numbered frames; `times` are milliseconds, where the rate varies."""
    out = io.BytesIO()
    usual = {"fflags": "+bitexact", **(muxing or {})}
    with av.open(out, "w", format=container, options=usual) as file:
        settings = {"g": str(every), "threads": "1", **_QUIET.get(codec, {}), **options}
        stream = file.add_stream(codec, rate=fps, options=settings)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        track = file.add_stream("aac", rate=16_000) if with_sound else None
        if track is not None:
            track.layout = "mono"
            for packet in _track(track, frames / fps):
                file.mux(packet)
        for packet in _frames(stream, frames, times):
            file.mux(packet)
    return out.getvalue()


def noisy_video(container: str, codec: str, frames: int, bits: int) -> bytes:
    """A video of 12 frames a second of 320 x 240 that nothing compresses well."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=12, options={"threads": "1", "g": "4"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.bit_rate = bits
        for seed in range(frames):
            frame: Any = av.VideoFrame.from_ndarray(noise(320, 240, seed=seed), "rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


# Sharp key-frame distances, and encoders that say nothing.
_QUIET = {
    "libx264": {"sc_threshold": "0", "crf": "10"},
    "libx265": {"x265-params": "log-level=none:scenecut=0:open-gop=0"},
    "libsvtav1": {"preset": "12"},
}


def _track(stream: Any, seconds: float) -> Iterator[Any]:
    values = tone(int(16_000 * seconds), 16_000)
    frame = av.AudioFrame.from_ndarray(values.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 16_000
    frame.pts = 0
    for each in (frame, None):
        yield from stream.encode(each)


def _frames(stream: Any, frames: int, times: list[int] | None) -> Iterator[Any]:
    for number in range(len(times) if times else frames):
        frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
        if times:
            frame.pts, frame.time_base = times[number], Fraction(1, 1000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def shown(data: bytes) -> list[tuple[float, int]]:
    """Seconds and number of every frame that a player shows."""
    with av.open(io.BytesIO(data)) as file:
        return [(float(frame.time), number_of(frame)) for frame in file.decode(video=0)]


# PDFs.


def pdf(
    pages: int,
    image_side: int = 0,
    image_on: tuple[int, ...] = (),
    links: bool = False,
    form: bool = False,
    own_images: bool = False,
    saving: dict[str, Any] | None = None,
    **info: str,
) -> bytes:
    """Numbered pages; they share resources with a noisy image, or have `own_images`."""
    file = pikepdf.new()
    resources = file.make_indirect(_resources(file, image_side))
    for number in range(1, pages + 1):
        content = f"BT /F1 24 Tf 72 700 Td (This is page {number}.) Tj ET"
        if number in image_on:
            content += " q 100 0 0 100 50 50 cm /Im0 Do Q"
        page = pikepdf.Dictionary(
            Type=pikepdf.Name.Page,
            MediaBox=[0, 0, 612, 792],
            Resources=_resources(file, image_side, number) if own_images else resources,
            Contents=pikepdf.Stream(file, content.encode()),
        )
        file.pages.append(pikepdf.Page(file.make_indirect(page)))
    if links:
        _link_all(file)
    if form:
        _add_form(file)
    for name, value in info.items():
        file.docinfo[f"/{name}"] = value
    out = io.BytesIO()
    file.save(out, **{"static_id": True, **(saving or {})})
    return out.getvalue()


def _resources(file: Any, image_side: int, seed: int = 0) -> Any:
    font = pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
    )
    held = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=file.make_indirect(font)))
    if image_side:
        image = pikepdf.Stream(
            file,
            noise(image_side, image_side, seed=seed).tobytes(),
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Image,
            Width=image_side,
            Height=image_side,
            ColorSpace=pikepdf.Name.DeviceRGB,
            BitsPerComponent=8,
        )
        held.XObject = pikepdf.Dictionary(Im0=file.make_indirect(image))
    return held


def _link_all(file: Any) -> None:
    for page in file.pages:
        page.obj.Annots = pikepdf.Array(
            file.make_indirect(
                pikepdf.Dictionary(
                    Type=pikepdf.Name.Annot,
                    Subtype=pikepdf.Name.Link,
                    Rect=[0, 0, 10, 10],
                    Dest=pikepdf.Array([other.obj, pikepdf.Name.Fit]),
                )
            )
            for other in file.pages
        )


def _add_form(file: Any) -> None:
    """A text field on every page, whose value stands only in its appearance."""
    fields = []
    for number, page in enumerate(file.pages, start=1):
        look = pikepdf.Stream(
            file,
            f"BT /F1 12 Tf 2 4 Td (Filled in {number}) Tj ET".encode(),
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Form,
            BBox=[0, 0, 200, 20],
            Resources=page.obj.Resources,
        )
        field = pikepdf.Dictionary(
            Type=pikepdf.Name.Annot,
            Subtype=pikepdf.Name.Widget,
            FT=pikepdf.Name.Tx,
            T=f"field{number}",
            V=f"Filled in {number}",
            DA="/F1 12 Tf",
            Rect=[72, 500, 272, 520],
            P=page.obj,
            AP=pikepdf.Dictionary(N=file.make_indirect(look)),
        )
        widget = file.make_indirect(field)
        page.obj.Annots = pikepdf.Array([widget])
        fields.append(widget)
    file.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array(fields))


# Damage.


def cuts(data: bytes, count: int = 12) -> Iterator[bytes]:
    """The file cut short at many places, among them very early and very late."""
    places = {0, 1, 20, 44, len(data) - 1, len(data) - 9}
    places |= {len(data) * n // count for n in range(1, count)}
    for place in sorted(p for p in places if 0 <= p < len(data)):
        yield data[:place]


def mutations(data: bytes, count: int = 25, seed: int = 0) -> Iterator[bytes]:
    """The file with some bytes changed, more often in its first kilobyte, where headers are."""
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        reach = len(data) if chance.random() < 0.5 else min(len(data), 1024)
        for _ in range(chance.choice((1, 3, 12))):
            changed[chance.randrange(reach)] = chance.choice((0, 255, 127, chance.randrange(256)))
        yield bytes(changed)
