"""What suffixes promise, and names and remedies for formats that no chunker takes."""

from __future__ import annotations

import re
from typing import NamedTuple

import puremagic

from reembed.core.media.decode import looks_like_text


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
