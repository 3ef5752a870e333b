"""Recognise, measure and describe the media of a request, once for each content."""

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

from reembed_emulator import films, papers, pictures, sounds
from reembed_emulator.errors import RowError
from reembed_emulator.words import BUCKETS

_KEPT = 512


@dataclass(frozen=True, slots=True)
class Medium:
    """Hold what a part of media amounts to: its kind, tokens, text, and 4096 sums."""

    kind: str
    tokens: int
    text: str
    sums: npt.NDArray[np.float32]


class MediaReader:
    """Read media, keeping the newest by content hash."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, Medium | RowError] = OrderedDict()

    def read(self, data: bytes, mime_type: str) -> Medium:
        """Return the measured and described medium; raise RowError if the service would refuse."""
        known = hashlib.sha256(mime_type.encode() + b"\0" + data).digest()
        found = self._seen.get(known)
        if found is None:
            try:
                found = _read(data, mime_type)
            except RowError as err:
                found = err
            self._seen[known] = found
            while len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        if isinstance(found, RowError):
            raise RowError(found.message, found.code)
        return found


def kind_of(mime_type: str) -> str:
    """Return image, audio, video or pdf; raise RowError for a type that is not read."""
    if pictures.is_image(mime_type):
        return "image"
    if sounds.is_audio(mime_type):
        return "audio"
    if films.is_video(mime_type):
        return "video"
    if papers.is_paper(mime_type):
        return "pdf"
    raise RowError(f"Unsupported MIME type: {mime_type}")


def estimate_tokens(data: bytes, mime_type: str) -> int:
    """Return the tokens from headers alone, without decoding; 0 for what cannot be read."""
    try:
        kind = kind_of(mime_type)
        if kind == "image":
            return pictures.TOKENS_PER_IMAGE
        if kind == "pdf":
            return min(papers.count_pages(data), papers.MAX_PAGES) * papers.TOKENS_PER_PAGE
        with av.open(io.BytesIO(data)) as container:
            seconds = (container.duration or 0) / av.time_base
    except (RowError, av.FFmpegError, ValueError):
        return 0
    return sounds.audio_tokens(seconds) if kind == "audio" else films.video_tokens(seconds)


def _read(data: bytes, mime_type: str) -> Medium:
    kind = kind_of(mime_type)
    if not data:
        raise RowError(f"The input {kind} is empty.")
    if kind == "image":
        sums = spread(kind, pictures.read_image(data, mime_type))
        return Medium(kind, pictures.TOKENS_PER_IMAGE, "", sums)
    if kind == "audio":
        seconds, dense = sounds.read_audio(data, mime_type)
        return Medium(kind, sounds.audio_tokens(seconds), "", spread(kind, dense))
    if kind == "video":
        seconds, dense = films.read_video(data, mime_type)
        return Medium(kind, films.video_tokens(seconds), "", spread(kind, dense))
    paper = papers.read_paper(data)
    dense = paper.pictures if paper.pictures is not None else _digest(data, paper)
    sums = spread("pdf", dense)
    return Medium(kind, paper.pages * papers.TOKENS_PER_PAGE, paper.text, 0.3 * sums)


def _digest(data: bytes, paper: papers.Paper) -> npt.NDArray[np.float32]:
    # A paper without pictures: its words speak; one without either is near to itself alone.
    if paper.text:
        return np.array([1.0], np.float32)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(data)))
    return generator.standard_normal(64).astype(np.float32)


def spread(kind: str, dense: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the description as a unit vector over 4096 buckets, at places of its kind."""
    places, signs = _places(kind, len(dense))
    out = np.zeros(BUCKETS, np.float32)
    out[places] = pictures.unit(dense) * signs
    return out


@functools.cache
def _places(kind: str, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{kind}/{count}".encode())))
    places = generator.permutation(BUCKETS)[:count]
    return places, generator.choice(np.array([-1, 1], np.float32), count)
