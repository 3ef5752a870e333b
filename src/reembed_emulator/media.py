"""Media of a request: kind, tokens and features, measured once for each content."""

from __future__ import annotations

import functools
import hashlib
import io
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from reembed_emulator import audio, image, pdf, video
from reembed_emulator.errors import RowError
from reembed_emulator.words import BUCKETS

_CACHE_SIZE = 512
_KINDS = {
    **dict.fromkeys(image.FORMATS, "image"),
    **dict.fromkeys(audio.FORMATS, "audio"),
    **dict.fromkeys(video.MIME_TYPES, "video"),
    pdf.MIME_TYPE: "pdf",
}


@dataclass(frozen=True, slots=True)
class Medium:
    """Part of media as it is embedded: its kind, tokens, text, and float32[4096] of features."""

    kind: str
    tokens: int
    text: str
    features: npt.NDArray[np.float32]


class MediaReader:
    """Reader of media with a cache by content hash: jobs send the same bytes again and again."""

    def __init__(self) -> None:
        self._cache: OrderedDict[bytes, Medium | RowError] = OrderedDict()

    def read(self, data: bytes, mime_type: str) -> Medium:
        """Return the measured medium; raise RowError if the service would refuse it."""
        key = hashlib.sha256(mime_type.encode() + b"\0" + data).digest()
        found = self._cache.get(key)
        if found is None:
            try:
                found = _read(data, mime_type)
            except RowError as err:
                found = err
            self._cache[key] = found
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        if isinstance(found, RowError):
            # A new one: an exception that is raised twice gathers tracebacks.
            raise RowError(found.message, found.code)
        return found


def kind_of(mime_type: str) -> str:
    """Return image, audio, video or pdf; raise RowError for an unsupported type."""
    kind = _KINDS.get(mime_type)
    if kind is None:
        raise RowError(f"Unsupported MIME type: {mime_type}")
    return kind


def estimate_tokens(data: bytes, mime_type: str) -> int:
    """Return the tokens from headers alone, without decoding; 0 for unreadable media."""
    try:
        kind = kind_of(mime_type)
        if kind == "image":
            return image.TOKENS_PER_IMAGE
        if kind == "pdf":
            return min(pdf.count_pages(data), pdf.MAX_PAGES) * pdf.TOKENS_PER_PAGE
        # Tokens enqueued are counted when a job is created, where decoding would take too long.
        with av.open(io.BytesIO(data), "r") as container:
            seconds = (container.duration or 0) / av.time_base
    except (RowError, av.FFmpegError, ValueError):
        return 0
    return audio.count_tokens(seconds) if kind == "audio" else video.count_tokens(seconds)


def _read(data: bytes, mime_type: str) -> Medium:
    kind = kind_of(mime_type)
    if not data:
        raise RowError(f"The input {kind} is empty.")
    if kind == "image":
        features = spread(kind, image.read_image(data, mime_type))
        return Medium(kind, image.TOKENS_PER_IMAGE, "", features)
    if kind == "audio":
        seconds, dense = audio.read_audio(data, mime_type)
        return Medium(kind, audio.count_tokens(seconds), "", spread(kind, dense))
    if kind == "video":
        seconds, dense = video.read_video(data, mime_type)
        return Medium(kind, video.count_tokens(seconds), "", spread(kind, dense))
    document = pdf.read_pdf(data)
    dense = document.images if document.images is not None else _digest(data, document.text)
    # The words of a document weigh more than its images, or than the digest in their place.
    features = 0.3 * spread(kind, dense)
    return Medium(kind, document.pages * pdf.TOKENS_PER_PAGE, document.text, features)


def _digest(data: bytes, text: str) -> npt.NDArray[np.float32]:
    """Return stand-in features of a PDF without images."""
    if text:
        return np.array([1.0], np.float32)
    # Neither words nor images: similar to itself alone.
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(data)))
    return generator.standard_normal(64).astype(np.float32)


def spread(kind: str, dense: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return dense features as a unit vector float32[4096], in buckets chosen by kind and size."""
    buckets, signs = _buckets(kind, len(dense))
    out = np.zeros(BUCKETS, np.float32)
    out[buckets] = image.unit(dense) * signs
    return out


@functools.cache
def _buckets(kind: str, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    # Seeded by kind: features of two kinds share buckets only by chance, like unrelated words.
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{kind}/{count}".encode())))
    buckets = generator.permutation(BUCKETS)[:count]
    return buckets, generator.choice(np.array([-1, 1], np.float32), count)
