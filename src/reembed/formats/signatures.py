"""Recognise formats by the first bytes of a file, where that takes more than a prefix.

A signature that is made of letters alone may begin a text ("BM is a bitmap", "ID3 is a tag"), so
each predicate looks for bytes that no text has beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from reembed.formats.charset import looks_like_text

HEAD_BYTES = 8192
"""Bytes of a file that recognising it takes."""

Matches = Callable[["Head"], bool]


@dataclass(frozen=True)
class Head:
    """Beginning of a file, and the suffix of its name.

    Attributes:
        data: the first `HEAD_BYTES` bytes, or the whole file if it is shorter.
        suffix: of the name, in lower case with its dot; empty if it has none.
    """

    data: bytes
    suffix: str = ""

    @cached_property
    def is_text(self) -> bool:
        """Tell whether the bytes may be text: a byte order mark, UTF-16, or few control bytes."""
        return looks_like_text(self.data)

    @cached_property
    def opening(self) -> str:
        """Bytes as ASCII, for patterns of markup: without byte order mark and zero bytes.

        Tags are ASCII in every encoding of the web; UTF-16 only spreads them with zero bytes.
        """
        return self.data.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").decode("latin-1")

    def begins_with(self, signatures: tuple[bytes, ...]) -> bool:
        """Compare with signatures; one of letters alone counts only where the bytes are no text."""
        return any(
            self.data.startswith(each) and not (each.isalnum() and self.is_text)
            for each in signatures
        )


def riff(*kinds: bytes) -> Matches:
    """Match RIFF files (also RF64 and RIFX) of these kinds, for instance ``b"WAVE"``."""
    return lambda head: head.data[:4] in (b"RIFF", b"RF64", b"RIFX") and head.data[8:12] in kinds


# ISO base media (MP4 and its relatives): the brand at byte 8 says which member of the family it is.
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_QUICKTIME_BRAND = b"qt  "


def _brand(head: Head) -> bytes:
    box, length = head.data[4:8], int.from_bytes(head.data[:4], "big")
    return head.data[8:12] if box == b"ftyp" and length < 1 << 16 else b""


def iso_brand(*brands: bytes) -> Matches:
    """Match ISO base media whose major brand is one of these."""
    return lambda head: _brand(head) in brands


def is_iso_media(head: Head) -> bool:
    """Match ISO base media of any brand."""
    return head.data[4:8] == b"ftyp" and int.from_bytes(head.data[:4], "big") < 1 << 16


def is_avif(head: Head) -> bool:
    """Match AVIF, also where the major brand is that of a HEIF container that lists AVIF."""
    brand = _brand(head)
    return brand in (b"avif", b"avis") or (brand in _HEIF_BRANDS and _lists(head.data, b"avif"))


def is_heif(head: Head) -> bool:
    """Match HEIF containers, HEIC among them; ask `is_avif` first."""
    return head.data[4:8] == b"ftyp" and head.data[8:12] in _HEIF_BRANDS


def _lists(data: bytes, brand: bytes) -> bool:
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return any(data[at : at + 4] == brand for at in range(8, end, 4))


def is_quicktime(head: Head) -> bool:
    """Match QuickTime; files from before brands begin with their data or their index."""
    if _brand(head) == _QUICKTIME_BRAND:
        return True
    # "the wide world" is a text.
    old = head.data[4:8] in (b"moov", b"mdat", b"wide", b"skip", b"pnot")
    return old and not head.is_text


_EBML = b"\x1a\x45\xdf\xa3"


def is_webm(head: Head) -> bool:
    """Match Matroska files that call themselves WebM in their header."""
    return head.data.startswith(_EBML) and b"webm" in head.data[:64]


def is_matroska(head: Head) -> bool:
    """Match Matroska, WebM included."""
    return head.data.startswith(_EBML)


def is_bitmap(head: Head) -> bool:
    """Match BMP: reserved words of zero and a known header size; "BM" alone is two letters."""
    known = (12, 16, 40, 52, 56, 64, 108, 124)
    header_size = int.from_bytes(head.data[14:18], "little")
    return head.data[:2] == b"BM" and head.data[6:10] == bytes(4) and header_size in known


def is_aiff(head: Head) -> bool:
    """Match AIFF and AIFF-C."""
    return head.data[:4] == b"FORM" and head.data[8:12] in (b"AIFF", b"AIFC")


def _tag_end(data: bytes) -> int:
    """Find the end of an ID3 tag at the beginning; 0 if there is none.

    After "ID3" come a version below 255 and four 7-bit bytes of length, never letters.
    """
    if data[:3] != b"ID3" or len(data) < 10 or data[3] >= 0x10 or max(data[6:10]) >= 0x80:
        return 0
    length = 0
    for byte in data[6:10]:
        length = length << 7 | byte
    return 10 + length


def is_aac(head: Head) -> bool:
    """Match AAC in ADTS frames, after an ID3 tag if there is one."""
    return _frames_follow(head.data, _tag_end(head.data), _adts_length)


def is_mp3(head: Head) -> bool:
    """Match an ID3 tag, or MP3 frames from the first byte on; ask `is_aac` first."""
    return bool(_tag_end(head.data)) or _frames_follow(head.data, 0, _mp3_length)


def is_padded_mp3(head: Head) -> bool:
    """Match an MP3 by name that begins with padding or half a frame, as cut streams do."""
    if head.suffix != ".mp3":
        return False
    starts = (match.start() for match in re.finditer(b"\xff", head.data))
    return any(_frames_follow(head.data, at, _mp3_length) for at in starts)


def _frames_follow(data: bytes, start: int, length_of: Callable[[bytes], int]) -> bool:
    """Ask for three frames in a row: a sync of 11 bits alone stands in every 2 KB of noise."""
    at = start
    for count in range(3):
        length = length_of(data[at : at + 6])
        if not length:
            # A very short recording may end after its first or second frame.
            return count > 0 and at == len(data) > start
        at += length
    return True


_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MP3_KBITS_V1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBITS_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _mp3_length(frame: bytes) -> int:
    """Return the size of the layer III frame that begins here, 0 if none does.

    ISO 11172-3, 2.4.2.3.
    """
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return 0
    version, kbits, rate = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    if version == 1 or rate == 3 or kbits in (0, 15):
        return 0
    table, samples = (_MP3_KBITS_V1, 144) if version == 3 else (_MP3_KBITS_V2, 72)
    return samples * table[kbits] * 1000 // _MP3_RATES[version][rate] + (frame[2] >> 1 & 1)


def _adts_length(frame: bytes) -> int:
    """Return the size of the ADTS frame that begins here, 0 if none does (ISO 13818-7, 6.2)."""
    if len(frame) < 6 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0 or frame[2] >> 2 & 15 > 12:
        return 0
    length = (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
    return length if length > 7 else 0


def is_transport_stream(head: Head) -> bool:
    """Match MPEG-TS: a sync byte at the start of each packet of 188 bytes."""
    count = len(head.data) // 188
    return count >= 3 and all(head.data[188 * n] == 0x47 for n in range(min(count, 8)))


_JUNK_BEFORE_PDF = 1024  # readers accept the header anywhere in the first 1024 bytes


def is_pdf(head: Head) -> bool:
    """Match PDF, also behind junk; a text that speaks of "%PDF-" is text."""
    at = head.data.find(b"%PDF-", 0, _JUNK_BEFORE_PDF)
    if at <= 0:
        return at == 0
    return b" obj" in head.data[at:] or not looks_like_text(head.data[at:])


_SVG = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*|<!--.{0,2000}?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg\b", re.DOTALL
)


def is_svg(head: Head) -> bool:
    """Match an XML document whose root element is `svg`."""
    return _SVG.match(head.data) is not None


def zip_with(mark: bytes) -> Matches:
    """Match ZIP archives whose beginning has a member, or a content, of this name."""
    return lambda head: head.data.startswith(b"PK\x03\x04") and mark in head.data


_HTML_OPENING = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>")


def is_html(head: Head) -> bool:
    """Match what opens as a page; a fragment counts where the suffix is that of HTML."""
    if _HTML_OPENING.match(head.opening):
        return True
    return head.suffix in (".html", ".htm") and _TAG.search(head.opening) is not None
