"""Policies, items and small files of every kind, for tests of formats and chunks."""

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pikepdf
import pytest
from PIL import Image

from reembed.config.schema import Config
from reembed.core.chunk import chunk_item
from reembed.formats.policy import ChunkPolicy
from reembed.types import ChunkedItem, Item, Position

PolicyOf = Callable[..., ChunkPolicy]
ChunkOf = Callable[..., ChunkedItem]


@pytest.fixture(scope="session")
def policy_of() -> PolicyOf:
    """Make a policy: ``policy_of(text={"max_tokens": 64}, model={"name": …})``."""

    def make(model: dict[str, Any] | None = None, **chunking: Any) -> ChunkPolicy:
        raw = {"name": "test", "source": {"files": ["*"]}, "chunking": chunking}
        return ChunkPolicy.of(Config.model_validate({**raw, "model": model or {}}))

    return make


@pytest.fixture(scope="session")
def item_of() -> Callable[..., Item]:
    """Make an item of a name: ``item_of("a.txt", size=3)``."""

    def make(name: str = "a.txt", size: int = 1, title: str | None = None) -> Item:
        return Item(name, f"/data/{name}", Position(7, 0), size, "g1", title=title)

    return make


@pytest.fixture(scope="session")
def chunks_of(policy_of: PolicyOf, item_of: Callable[..., Item]) -> ChunkOf:
    """Chunk bytes under a name: ``chunks_of(b"…", "a.txt", policy)``."""

    def make(data: bytes, name: str = "a.txt", policy: ChunkPolicy | None = None) -> ChunkedItem:
        return chunk_item(item_of(name, len(data)), io.BytesIO(data), policy or policy_of())

    return make


def _picture(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def _sound(container: str, codec: str, rate: int = 48000) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        for seed in range(12):
            noise = np.random.default_rng(seed).integers(-900, 900, (1, 2048), dtype=np.int16)
            frame: Any = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
            frame.rate = rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _film(container: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for shade in range(0, 200, 20):
            pixels = np.full((64, 64, 3), shade, np.uint8)
            frame: Any = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _pdf() -> bytes:
    buffer = io.BytesIO()
    with pikepdf.new() as document:
        document.add_blank_page()
        document.save(buffer)
    return buffer.getvalue()


def _archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """One small real file a format, by the label that recognising gives it."""
    pictures = {k.upper(): k for k in ("png", "jpeg", "gif", "bmp", "tiff", "avif")}
    sounds = {"WAV": ("wav", "pcm_s16le"), "MP3": ("mp3", "mp3"), "FLAC": ("flac", "flac")}
    sounds |= {"OGG": ("ogg", "libopus"), "M4A": ("ipod", "aac"), "AAC": ("adts", "aac")}
    sounds |= {"AIFF": ("aiff", "pcm_s16be")}
    films = {"MP4": ("mp4", "libx264"), "MOV": ("mov", "libx264"), "AVI": ("avi", "mpeg4")}
    films |= {"Matroska": ("matroska", "libx264"), "WebM": ("webm", "libvpx-vp9")}
    films |= {"MPEG-TS": ("mpegts", "mpeg2video"), "FLV": ("flv", "flv")}
    return {
        **{label: _picture(kind) for label, kind in pictures.items()},
        "WebP": _picture("webp"),
        **{label: _sound(*how) for label, how in sounds.items()},
        **{label: _film(*how) for label, how in films.items()},
        "PDF": _pdf(),
        "a ZIP archive": _archive("a.txt"),
        "a Word document": _archive("[Content_Types].xml", "word/document.xml"),
        "a gzip archive": gzip.compress(b"hello", mtime=0),
        "HTML": b"<!DOCTYPE html><html><head><title>A page</title></head><body><p>Hello.</p>",
        "Markdown": b"# A heading\n\nSome words of prose.\n",
        "text": b"Only words, and nothing else.\n",
    }
