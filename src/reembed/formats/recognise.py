"""Recognise a file by its first bytes; its name only serves to warn.

Which chunker gets a file is decided by the signatures here, not by puremagic: that library ranks by
the length of a match, so that text beginning with "BM" is a bitmap, "ID3 is a tag" an MP3, "RIFF
raff" an AVI; any ZIP is a DOCX, M4A is video, UTF-16 text is an INI file; and it knows neither
MPEG-TS, nor a PDF behind junk. Where several bytes agree it is reliable, and it knows hundreds of
formats: it names the file in the message of a reject.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import puremagic

from reembed.formats.charset import looks_like_text


class Unknown(NamedTuple):
    """A format that no chunker takes."""

    mime_type: str
    label: str
    remedy: str


# Formats that a corpus is likely to hold and that are not taken: signature, MIME type, name.
_KNOWN = (
    (b"PK\x03\x04", "application/zip", "a ZIP archive"),
    (b"PK\x05\x06", "application/zip", "an empty ZIP archive"),
    (b"\x1f\x8b", "application/gzip", "a gzip archive"),
    (b"BZh", "application/x-bzip2", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "application/x-xz", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "application/zstd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "application/vnd.rar", "a RAR archive"),
    (b"\x7fELF", "application/x-elf", "an executable (ELF)"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary", "an executable (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "application/java-vm", "a Java class or universal executable"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", "an old Office document"),
    (b"{\\rtf", "application/rtf", "a rich text document (RTF)"),
    (b"%!PS", "application/postscript", "a PostScript document"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3", "an SQLite database"),
    (b"PAR1", "application/vnd.apache.parquet", "a Parquet file"),
    (b"8BPS", "image/vnd.adobe.photoshop", "a Photoshop picture"),
    (b"MZ", "application/x-dosexec", "an executable (Windows)"),
)
_WORDLIKE = (b"BZh", b"PAR1", b"8BPS", b"MZ")  # a text may begin so
_SVG = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*|<!--.{0,2000}?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg\b", re.DOTALL
)
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_INSIDE_ZIP = (
    (b"word/", "vnd.openxmlformats-officedocument.wordprocessingml.document", "a Word document"),
    (b"xl/", "vnd.openxmlformats-officedocument.spreadsheetml.sheet", "an Excel workbook"),
    (b"ppt/", "vnd.openxmlformats-officedocument.presentationml.presentation", "a presentation"),
    (b"application/epub+zip", "epub+zip", "an EPUB book"),
    (b"application/vnd.oasis.opendocument", "vnd.oasis.opendocument", "an OpenDocument file"),
)
_DOCUMENT = "export it as PDF, HTML or text and give that"
_ARCHIVE = "unpack it and give the files inside"
_PICTURE = "convert it to PNG or JPEG and give that"
_OTHER = "remove it from the source, or convert it to text, PDF, PNG, JPEG, WAV, MP3 or MP4"
_LONG_ENOUGH = 0.4  # puremagic's confidence is a tenth of the matching bytes: at least four

_BY_LABEL: dict[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WebP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif"),
    "WAV": (".wav", ".wave"),
    "MP3": (".mp3",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus", ".ogv"),
    "M4A": (".m4a", ".m4b"),
    "AAC": (".aac",),
    "AIFF": (".aif", ".aiff"),
    "MP4": (".mp4",),
    "M4V": (".m4v",),
    "3GP": (".3gp", ".3g2"),
    "MOV": (".mov", ".qt"),
    "WebM": (".webm",),
    "Matroska": (".mkv", ".mka"),
    "AVI": (".avi",),
    "FLV": (".flv",),
    "WMV": (".wmv",),
    "WMA": (".wma",),
    "MPEG-TS": (".mts", ".m2ts"),
    "MPEG": (".mpg", ".mpeg"),
    "PDF": (".pdf",),
    "HTML": (".html", ".htm", ".xhtml"),
    "text": (".txt", ".text", ".log", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".rst"),
    "Markdown": (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"),
    "XML": (".xml", ".tex", ".ini", ".toml", ".srt", ".vtt"),
}
_TEXTS = ("text", "Markdown", "XML")
_SUFFIXES = {suffix: label for label, names in _BY_LABEL.items() for suffix in names}


def family_of_suffix(suffix: str) -> tuple[str | None, str]:
    """Tell what a lower-case suffix promises: (``text``, ``html`` or ``media``; the label).

    (None, "") when it promises nothing.
    """
    label = _SUFFIXES.get(suffix, "")
    if not label:
        return None, ""
    if label in _TEXTS:
        return "text", label
    return ("html", label) if label == "HTML" else ("media", label)


def describe_unknown(head: bytes, suffix: str) -> Unknown | None:
    """Name a format that no chunker takes; None if these bytes are none of those known.

    Args:
        head: the first bytes.
        suffix: of the name. Where it promises text, only a certain signature is believed, since
            letters may look like one.
    """
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return Unknown("image/heif", "a HEIC picture", _PICTURE)
    if _SVG.match(head):
        return Unknown("image/svg+xml", "an SVG drawing", _PICTURE)
    plain = looks_like_text(head)
    for magic, mime, name in _KNOWN:
        if head.startswith(magic) and not (plain and magic in _WORDLIKE):
            return _zip_kind(head) or Unknown(mime, name, _remedy(name))
    return None if plain or suffix in _SUFFIXES else _named_by_library(head)


def _zip_kind(head: bytes) -> Unknown | None:
    if not head.startswith(b"PK\x03\x04"):
        return None
    for mark, mime, name in _INSIDE_ZIP:
        if mark in head:
            return Unknown(f"application/{mime}", name, _DOCUMENT)
    return None


def _remedy(name: str) -> str:
    if "archive" in name:
        return _ARCHIVE
    if "document" in name:
        return _DOCUMENT
    return _PICTURE if "picture" in name else _OTHER


def _named_by_library(head: bytes) -> Unknown | None:
    try:
        best = puremagic.magic_string(head)[0]
    except (puremagic.PureError, ValueError, IndexError):
        return None
    if best.confidence < _LONG_ENOUGH or not best.name:
        return None
    return Unknown(best.mime_type or "application/octet-stream", best.name, _OTHER)


HEAD_BYTES = 8192
"""How much of a file `recognise` should be given."""

Family = Literal["text", "html", "image", "av", "pdf", "unknown"]

_JUNK_BEFORE_PDF = 1024  # readers accept the header anywhere in the first 1024 bytes


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file is.

    Attributes:
        family: which chunker takes it; ``unknown`` if none does.
        mime_type: by the bytes, for instance ``image/png``.
        warning: set when the name says otherwise, for instance ``named .jpg, holds PNG``.
        label: the format as a person says it, for messages.
        remedy: for ``unknown``, what to do about it.
    """

    family: Family
    mime_type: str
    warning: str | None = None
    label: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    family: Family
    mime_type: str
    label: str


# ISO base media: the brand at byte 8 says which member of the family it is.
_BRANDS = {
    b"M4A ": _Kind("av", "audio/mp4", "M4A"),
    b"M4B ": _Kind("av", "audio/mp4", "M4A"),
    b"F4A ": _Kind("av", "audio/mp4", "M4A"),
    b"qt  ": _Kind("av", "video/quicktime", "MOV"),
    b"avif": _Kind("image", "image/avif", "AVIF"),
    b"avis": _Kind("image", "image/avif", "AVIF"),
}
_RIFF = {
    b"WAVE": _Kind("av", "audio/wav", "WAV"),
    b"AVI ": _Kind("av", "video/x-msvideo", "AVI"),
    b"WEBP": _Kind("image", "image/webp", "WebP"),
}
_SIGNATURES: tuple[tuple[bytes, _Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", _Kind("image", "image/png", "PNG")),
    (b"\xff\xd8\xff", _Kind("image", "image/jpeg", "JPEG")),
    (b"GIF87a", _Kind("image", "image/gif", "GIF")),
    (b"GIF89a", _Kind("image", "image/gif", "GIF")),
    (b"II*\x00", _Kind("image", "image/tiff", "TIFF")),
    (b"MM\x00*", _Kind("image", "image/tiff", "TIFF")),
    (b"II+\x00", _Kind("image", "image/tiff", "TIFF")),
    (b"MM\x00+", _Kind("image", "image/tiff", "TIFF")),
    (b"fLaC", _Kind("av", "audio/flac", "FLAC")),
    (b"OggS\x00", _Kind("av", "audio/ogg", "OGG")),
    (b"FLV\x01", _Kind("av", "video/x-flv", "FLV")),
    (b"caff\x00\x01", _Kind("av", "audio/x-caf", "CAF")),
    (b".snd\x00\x00\x00", _Kind("av", "audio/basic", "AU")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _Kind("av", "video/x-ms-asf", "ASF")),
    (b"\x00\x00\x01\xba", _Kind("av", "video/mpeg", "MPEG")),
    (b"riff\x2e\x91\xcf\x11", _Kind("av", "audio/x-w64", "Wave64")),
    (b"wvpk", _Kind("av", "audio/x-wavpack", "WavPack")),
    (b"#!AMR", _Kind("av", "audio/amr", "AMR")),
)
_HTML_OPENING = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>")
_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")


def recognise(head: bytes, name: str, size: int) -> Recognised:
    """Recognise a file.

    Args:
        head: its first bytes, `HEAD_BYTES` of them if it has as many.
        name: file name or URI; decides nothing but Markdown, HTML fragments and warnings.
        size: bytes of the whole file.

    Returns:
        What it is; never raises. A file without bytes is text, since an empty text is what the
        text chunker refuses with the fitting words.
    """
    suffix = _suffix(name)
    kind = _binary_kind(head)
    if kind is None:
        unknown = describe_unknown(head, suffix)
        if unknown is not None:
            return Recognised("unknown", unknown.mime_type, None, unknown.label, unknown.remedy)
        kind = _text_kind(head, suffix) or _padded_mp3(head, suffix)
    if kind is None:
        return _neither(suffix)
    return Recognised(kind.family, kind.mime_type, _disagreement(suffix, kind), kind.label)


def _suffix(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()


def _binary_kind(head: bytes) -> _Kind | None:
    for probe in (_by_signature, _riff, _iso_media, _matroska, _bitmap, _aiff, _audio_frames):
        kind = probe(head)
        if kind is not None:
            return kind
    if _is_transport_stream(head):
        return _Kind("av", "video/mp2t", "MPEG-TS")
    if _is_pdf(head):
        return _Kind("pdf", "application/pdf", "PDF")
    return None


def _by_signature(head: bytes) -> _Kind | None:
    for magic, kind in _SIGNATURES:
        # Text may begin with the letters "GIF89a"; no such file is free of control bytes.
        if head.startswith(magic) and not (magic.isalnum() and looks_like_text(head)):
            return kind
    return None


def _riff(head: bytes) -> _Kind | None:
    if head[:4] in (b"RIFF", b"RF64", b"RIFX"):
        return _RIFF.get(head[8:12])
    return None


def _iso_media(head: bytes) -> _Kind | None:
    box, length = head[4:8], int.from_bytes(head[:4], "big")
    if box == b"ftyp" and length < 1 << 16:
        brand = head[8:12]
        if brand in HEIF_BRANDS and not _lists_brand(head, b"avif"):
            return None
        if brand in HEIF_BRANDS:
            return _BRANDS[b"avif"]
        return _BRANDS.get(brand, _Kind("av", "video/mp4", "MP4"))
    # Old QuickTime files begin with their data or index; "the wide world" is a text.
    if box in (b"moov", b"mdat", b"wide", b"skip", b"pnot") and not looks_like_text(head):
        return _BRANDS[b"qt  "]
    return None


def _lists_brand(head: bytes, brand: bytes) -> bool:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return any(head[at : at + 4] == brand for at in range(8, end, 4))


def _matroska(head: bytes) -> _Kind | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    if b"webm" in head[:64]:
        return _Kind("av", "video/webm", "WebM")
    return _Kind("av", "video/x-matroska", "Matroska")


def _bitmap(head: bytes) -> _Kind | None:
    # "BM" alone is two letters: the reserved words are zero, and the header's size a known one.
    known = (12, 16, 40, 52, 56, 64, 108, 124)
    header_size = int.from_bytes(head[14:18], "little")
    if head[:2] == b"BM" and head[6:10] == bytes(4) and header_size in known:
        return _Kind("image", "image/bmp", "BMP")
    return None


def _aiff(head: bytes) -> _Kind | None:
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _Kind("av", "audio/aiff", "AIFF")
    return None


def _audio_frames(head: bytes) -> _Kind | None:
    mp3, aac = _Kind("av", "audio/mpeg", "MP3"), _Kind("av", "audio/aac", "AAC")
    # After "ID3" come a version below 255 and four 7-bit bytes of length, never letters.
    if head[:3] == b"ID3" and len(head) >= 10 and head[3] < 0x10 and max(head[6:10]) < 0x80:
        tag_end = 10 + _seven_bit(head[6:10])
        return aac if _frames_follow(head, tag_end, _adts_length) else mp3
    if _frames_follow(head, 0, _adts_length):
        return aac
    if _frames_follow(head, 0, _mp3_length):
        return mp3
    return None


def _padded_mp3(head: bytes, suffix: str) -> _Kind | None:
    """Find the frames of an MP3 that begins with padding or half a frame, as cut streams do."""
    if suffix != ".mp3":
        return None
    starts = (match.start() for match in re.finditer(b"\xff", head))
    found = any(_frames_follow(head, at, _mp3_length) for at in starts)
    return _Kind("av", "audio/mpeg", "MP3") if found else None


def _seven_bit(raw: bytes) -> int:
    value = 0
    for byte in raw:
        value = value << 7 | byte
    return value


def _frames_follow(head: bytes, start: int, length_of: Callable[[bytes], int]) -> bool:
    """Ask for three frames in a row: a sync of 11 bits alone stands in every 2 KB of noise."""
    at = start
    for count in range(3):
        length = length_of(head[at : at + 6])
        if not length:
            # A very short recording may end after its first or second frame.
            return count > 0 and at == len(head) > start
        at += length
    return True


_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MP3_KBITS_V1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBITS_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _mp3_length(frame: bytes) -> int:
    """Bytes of the layer III frame that begins here, 0 if none does (ISO 11172-3, 2.4.2.3)."""
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return 0
    version, kbits, rate = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    if version == 1 or rate == 3 or kbits in (0, 15):
        return 0
    table, samples = (_MP3_KBITS_V1, 144) if version == 3 else (_MP3_KBITS_V2, 72)
    return samples * table[kbits] * 1000 // _MP3_RATES[version][rate] + (frame[2] >> 1 & 1)


def _adts_length(frame: bytes) -> int:
    """Bytes of the ADTS frame that begins here, 0 if none does (ISO 13818-7, 6.2)."""
    if len(frame) < 6 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0 or frame[2] >> 2 & 15 > 12:
        return 0
    length = (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
    return length if length > 7 else 0


def _is_transport_stream(head: bytes) -> bool:
    packets = len(head) // 188
    return packets >= 3 and all(head[188 * n] == 0x47 for n in range(min(packets, 8)))


def _is_pdf(head: bytes) -> bool:
    # A text that speaks of "%PDF-" is text: behind junk, binary bytes must follow.
    at = head.find(b"%PDF-", 0, _JUNK_BEFORE_PDF)
    if at <= 0:
        return at == 0
    return b" obj" in head[at:] or not looks_like_text(head[at:])


def _text_kind(head: bytes, suffix: str) -> _Kind | None:
    named_text = family_of_suffix(suffix)[0] == "text"
    if not looks_like_text(head) and not (named_text and suffix):
        return None
    opening = _as_ascii(head)
    if _HTML_OPENING.match(opening) or (suffix in (".html", ".htm") and _TAG.search(opening)):
        return _Kind("html", "text/html", "HTML")
    if suffix in _MARKDOWN:
        return _Kind("text", "text/markdown", "Markdown")
    return _Kind("text", "text/plain", "text")


def _as_ascii(head: bytes) -> str:
    # Tags are ASCII in every encoding of the web; UTF-16 only spreads them with zero bytes.
    return head.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").decode("latin-1")


def _neither(suffix: str) -> Recognised:
    return Recognised(
        "unknown",
        "application/octet-stream",
        label=f"binary data of no known format{f' named {suffix}' if suffix else ''}",
        remedy="remove it from the source, or convert it to a supported format",
    )


def _disagreement(suffix: str, kind: _Kind) -> str | None:
    family, label = family_of_suffix(suffix)
    if family is None or label == kind.label:
        return None
    if kind.family == "text" and family in ("text", "html"):
        return None  # .csv, .json, .py and the like hold text
    if label in _SAME.get(kind.label, ()):
        return None
    return f"named {suffix}, holds {kind.label}"


# Containers that go by several names.
_SAME = {
    "MP4": ("M4A", "M4V", "3GP", "MOV"),
    "M4A": ("MP4", "3GP"),
    "MOV": ("MP4", "M4V"),
    "WebM": ("Matroska",),
    "ASF": ("WMV", "WMA"),
    "MPEG": ("MPEG-TS", "MP4"),
}
