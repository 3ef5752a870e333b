"""Make files that no run can embed, each bad in the way that its name says."""

import io
import zipfile
from collections.abc import Iterator, Mapping

import pikepdf

from .documents import bee_year
from .encode import to_wave
from .seeds import generator
from .synth import silence

WAVE_HEADER_BYTES = 44
PASSWORD = "honey"


def broken_files(seed: int, good: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of each bad file; some are the good ones, by path, cut short."""
    yield "broken/empty.txt", b""
    yield "broken/blank.md", b" \n\n\t\n   \n"
    yield "broken/film cut short.mp4", _half(good["films/bouncing ball.mp4"])
    yield "broken/half a picture.png", _half(good["pictures/map-1.png"])
    # Its catalogue stands at the end, so that no reader can piece this document together.
    yield "broken/document cut short.pdf", _half(good["documents/a year with the bees.pdf"])
    yield "broken/only a header.wav", to_wave(silence(1, 16_000), 16_000)[:WAVE_HEADER_BYTES]
    yield "broken/archive.zip", _archive(good)
    yield "broken/random bytes.txt", generator(seed, "random bytes").bytes(4096)
    yield "broken/locked.pdf", _locked()


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _archive(good: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in ("texts/bees-dance.txt", "texts/knot-bowline.txt"):
            # ZipInfo's own date is 1980; writestr with a name would take the clock's.
            archive.writestr(zipfile.ZipInfo(path), good[path])
    return buffer.getvalue()


def _locked() -> bytes:
    """Return an encrypted PDF; RC4, because the keys of AES are drawn at random."""
    buffer = io.BytesIO()
    lock = pikepdf.Encryption(owner=PASSWORD, user=PASSWORD, R=3, aes=False, metadata=False)
    bee_year().save(buffer, encryption=lock, static_id=True)
    return buffer.getvalue()
