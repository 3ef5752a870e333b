"""Table of formats: how each is recognised, read, cut, rendered, and which version it has.

Everything that the package knows of a format stands in its one entry of `FORMATS`; how a format is
added is described in docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, BinaryIO

from reembed.errors import UsageError
from reembed.formats.base import FIRST_VERSIONS, Extracted, Format, Input, Render
from reembed.formats.signatures import (
    Head,
    is_aac,
    is_aiff,
    is_avif,
    is_bitmap,
    is_heif,
    is_html,
    is_iso_media,
    is_matroska,
    is_mp3,
    is_padded_mp3,
    is_pdf,
    is_quicktime,
    is_svg,
    is_transport_stream,
    is_webm,
    iso_brand,
    riff,
    zip_with,
)
from reembed.registry import add, find_added, names_added
from reembed.types import Pieces, Recipe

if TYPE_CHECKING:
    from reembed.formats.policy import ChunkPolicy


# How the families are read. Each function imports its module when it is called: media libraries
# take a second and 60 MB to load, in each worker.


def _extract_text(data: bytes) -> Extracted:
    from reembed.formats.text import extract_text

    return extract_text(data)


def _extract_markdown(data: bytes) -> Extracted:
    from reembed.formats.text import extract_markdown

    return extract_markdown(data)


def _extract_html(data: bytes) -> Extracted:
    from reembed.formats.html import extract_html

    return extract_html(data)


def _cut_image(source: BinaryIO, file: Input, policy: ChunkPolicy) -> Pieces:
    from reembed.formats.image import cut_image

    return cut_image(source, file.format.mime_type, policy)


def _cut_av(source: BinaryIO, file: Input, policy: ChunkPolicy) -> Pieces:
    from reembed.formats.video import cut_av

    return cut_av(source, file.format.mime_type, policy)


def _cut_pdf(source: BinaryIO, file: Input, policy: ChunkPolicy) -> Pieces:
    from reembed.formats.pdf import cut_pdf

    return cut_pdf(source, policy)


def _render_image(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    from reembed.formats.image import render_image

    return render_image(recipe, source, policy)


def _render_audio(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    from reembed.formats.audio import render_audio

    return render_audio(recipe, source)


def _render_video(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    from reembed.formats.video import render_video

    return render_video(recipe, source)


def _render_pdf(recipe: Recipe, source: BinaryIO, policy: ChunkPolicy) -> bytes:
    from reembed.formats.pdf import render_pdf

    return render_pdf(recipe, source)


# What the formats of a family have in common.

_text = partial(Format, modalities=("text",))
_image = partial(
    Format,
    modalities=("image",),
    cut=_cut_image,
    renders=(("image", _render_image),),
    codes=(
        *("image_truncated", "image_unreadable", "image_too_many_pixels"),
        "image_type_not_taken",
    ),
)
# A container may have either; only opening it shows which, so each has the codes of both.
_av = partial(
    Format,
    cut=_cut_av,
    renders=(("audio", _render_audio), ("video", _render_video)),
    codes=(
        *("audio_no_samples", "audio_truncated", "audio_damaged", "audio_unreadable"),
        *("audio_type_not_taken", "video_unreadable", "video_truncated", "video_no_frames"),
        *("video_codec_unknown", "video_too_many_pixels", "video_times_broken"),
        "video_type_not_taken",
    ),
)
_audio = partial(_av, modalities=("audio", "video"))
_video = partial(_av, modalities=("video", "audio"))
_refused = partial(Format, modalities=("unknown",))


def _other(name: str, label: str, mime_type: str, signature: bytes, remedy: str) -> Format:
    """Make a refused format that is recognised by a prefix."""
    return _refused(name, label, mime_type, signatures=(signature,), remedy=remedy)


_DOCUMENT = "export it as PDF, HTML or text and give that"
_ARCHIVE = "unpack it and give the files inside"
_IMAGE = "convert it to PNG or JPEG and give that"
OTHER_REMEDY = "remove it from the source, or convert it to text, PDF, PNG, JPEG, WAV, MP3 or MP4"
_OPENXML = "application/vnd.openxmlformats-officedocument"

_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")
_PLAIN = (
    *(".txt", ".text", ".log", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".rst"),
    *(".xml", ".tex", ".ini", ".toml", ".srt", ".vtt"),
)
_HTML = (".html", ".htm", ".xhtml")


def _may_be_text(head: Head) -> bool:
    # What is named as a text is read as one: its decoder knows better than "binary" what is wrong.
    return head.is_text or head.suffix in _PLAIN or head.suffix in _MARKDOWN


# Asked from top to bottom; the first that recognises the bytes has the file. Prefixes come before
# signatures further inside, refused formats before texts, plain text last.
FORMATS: tuple[Format, ...] = (
    _image("png", "PNG", "image/png", signatures=(b"\x89PNG\r\n\x1a\n",), suffixes=(".png",)),
    _image(
        "jpeg",
        "JPEG",
        "image/jpeg",
        signatures=(b"\xff\xd8\xff",),
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
    ),
    _image("gif", "GIF", "image/gif", signatures=(b"GIF87a", b"GIF89a"), suffixes=(".gif",)),
    _image(
        "tiff",
        "TIFF",
        "image/tiff",
        signatures=(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
        suffixes=(".tif", ".tiff"),
    ),
    _image("webp", "WebP", "image/webp", matches=riff(b"WEBP"), suffixes=(".webp",)),
    _image("bmp", "BMP", "image/bmp", matches=is_bitmap, suffixes=(".bmp", ".dib")),
    _image("avif", "AVIF", "image/avif", matches=is_avif, suffixes=(".avif",)),
    _refused(
        "heic",
        "a HEIC image",
        "image/heif",
        matches=is_heif,
        suffixes=(".heic", ".heif"),
        remedy=_IMAGE,
    ),
    _audio("wav", "WAV", "audio/wav", matches=riff(b"WAVE"), suffixes=(".wav", ".wave")),
    _audio("flac", "FLAC", "audio/flac", signatures=(b"fLaC",), suffixes=(".flac",)),
    _audio(
        "ogg",
        "OGG",
        "audio/ogg",
        signatures=(b"OggS\x00",),
        suffixes=(".ogg", ".oga", ".opus", ".ogv"),
    ),
    _audio("caf", "CAF", "audio/x-caf", signatures=(b"caff\x00\x01",)),
    _audio("au", "AU", "audio/basic", signatures=(b".snd\x00\x00\x00",)),
    _audio("wave64", "Wave64", "audio/x-w64", signatures=(b"riff\x2e\x91\xcf\x11",)),
    _audio("wavpack", "WavPack", "audio/x-wavpack", signatures=(b"wvpk",)),
    _audio("amr", "AMR", "audio/amr", signatures=(b"#!AMR",)),
    _audio(
        "m4a",
        "M4A",
        "audio/mp4",
        matches=iso_brand(b"M4A ", b"M4B ", b"F4A "),
        suffixes=(".m4a", ".m4b"),
        also=(".mp4", ".3gp", ".3g2"),
    ),
    _audio("aiff", "AIFF", "audio/aiff", matches=is_aiff, suffixes=(".aif", ".aiff")),
    _audio("aac", "AAC", "audio/aac", matches=is_aac, suffixes=(".aac",)),
    _audio(
        "mp3",
        "MP3",
        "audio/mpeg",
        matches=is_mp3,
        last_resort=is_padded_mp3,
        suffixes=(".mp3",),
    ),
    _video(
        "mov",
        "MOV",
        "video/quicktime",
        matches=is_quicktime,
        suffixes=(".mov", ".qt"),
        also=(".mp4", ".m4v"),
    ),
    _video(
        "mp4",
        "MP4",
        "video/mp4",
        matches=is_iso_media,
        suffixes=(".mp4", ".m4v", ".3gp", ".3g2"),
        also=(".m4a", ".m4b", ".mov", ".qt"),
    ),
    _video(
        "webm", "WebM", "video/webm", matches=is_webm, suffixes=(".webm",), also=(".mkv", ".mka")
    ),
    _video(
        "matroska",
        "Matroska",
        "video/x-matroska",
        matches=is_matroska,
        suffixes=(".mkv", ".mka"),
    ),
    _video("avi", "AVI", "video/x-msvideo", matches=riff(b"AVI "), suffixes=(".avi",)),
    _video("flv", "FLV", "video/x-flv", signatures=(b"FLV\x01",), suffixes=(".flv",)),
    _video(
        "asf",
        "ASF",
        "video/x-ms-asf",
        signatures=(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",),
        suffixes=(".wmv", ".wma"),
    ),
    _video(
        "mpeg",
        "MPEG",
        "video/mpeg",
        signatures=(b"\x00\x00\x01\xba",),
        suffixes=(".mpg", ".mpeg"),
        also=(".mts", ".m2ts", ".mp4"),
    ),
    _video(
        "mpeg-ts",
        "MPEG-TS",
        "video/mp2t",
        matches=is_transport_stream,
        suffixes=(".mts", ".m2ts"),
    ),
    Format(
        "pdf",
        "PDF",
        "application/pdf",
        modalities=("pdf",),
        matches=is_pdf,
        suffixes=(".pdf",),
        cut=_cut_pdf,
        renders=(("pdf", _render_pdf),),
        codes=("pdf_encrypted", "pdf_damaged", "pdf_no_pages"),
    ),
    _refused("svg", "an SVG drawing", "image/svg+xml", matches=is_svg, remedy=_IMAGE),
    _refused(
        "docx",
        "a Word document",
        f"{_OPENXML}.wordprocessingml.document",
        matches=zip_with(b"word/"),
        remedy=_DOCUMENT,
    ),
    _refused(
        "xlsx",
        "an Excel workbook",
        f"{_OPENXML}.spreadsheetml.sheet",
        matches=zip_with(b"xl/"),
        remedy=_DOCUMENT,
    ),
    _refused(
        "pptx",
        "a presentation",
        f"{_OPENXML}.presentationml.presentation",
        matches=zip_with(b"ppt/"),
        remedy=_DOCUMENT,
    ),
    _refused(
        "epub",
        "an EPUB book",
        "application/epub+zip",
        matches=zip_with(b"application/epub+zip"),
        remedy=_DOCUMENT,
    ),
    _refused(
        "opendocument",
        "an OpenDocument file",
        "application/vnd.oasis.opendocument",
        matches=zip_with(b"application/vnd.oasis.opendocument"),
        remedy=_DOCUMENT,
    ),
    _other("zip", "a ZIP archive", "application/zip", b"PK\x03\x04", _ARCHIVE),
    _other("empty-zip", "an empty ZIP archive", "application/zip", b"PK\x05\x06", _ARCHIVE),
    _other("gzip", "a gzip archive", "application/gzip", b"\x1f\x8b", _ARCHIVE),
    _other("bzip2", "a bzip2 archive", "application/x-bzip2", b"BZh", _ARCHIVE),
    _other("xz", "an xz archive", "application/x-xz", b"\xfd7zXZ\x00", _ARCHIVE),
    _other("zstd", "a zstd archive", "application/zstd", b"\x28\xb5\x2f\xfd", _ARCHIVE),
    _other("7z", "a 7-Zip archive", "application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    _other("rar", "a RAR archive", "application/vnd.rar", b"Rar!\x1a\x07", _ARCHIVE),
    _other(
        "ole",
        "an old Office document",
        "application/x-ole-storage",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        _DOCUMENT,
    ),
    _other("rtf", "a rich text document (RTF)", "application/rtf", b"{\\rtf", _DOCUMENT),
    _other("postscript", "a PostScript document", "application/postscript", b"%!PS", _DOCUMENT),
    _other("photoshop", "a Photoshop image", "image/vnd.adobe.photoshop", b"8BPS", _IMAGE),
    _other("elf", "an executable (ELF)", "application/x-elf", b"\x7fELF", OTHER_REMEDY),
    _other(
        "mach-o",
        "an executable (Mach-O)",
        "application/x-mach-binary",
        b"\xcf\xfa\xed\xfe",
        OTHER_REMEDY,
    ),
    _other(
        "java-class",
        "a Java class or universal executable",
        "application/java-vm",
        b"\xca\xfe\xba\xbe",
        OTHER_REMEDY,
    ),
    _other("windows-exe", "an executable (Windows)", "application/x-dosexec", b"MZ", OTHER_REMEDY),
    _other(
        "sqlite",
        "an SQLite database",
        "application/vnd.sqlite3",
        b"SQLite format 3\x00",
        OTHER_REMEDY,
    ),
    _other("parquet", "a Parquet file", "application/vnd.apache.parquet", b"PAR1", OTHER_REMEDY),
    _text(
        "html",
        "HTML",
        "text/html",
        matches=lambda head: _may_be_text(head) and is_html(head),
        suffixes=_HTML,
        extract=_extract_html,
        # A parsed page takes some twenty times its bytes.
        max_bytes=50_000_000,
        codes=("html_unreadable",),
    ),
    _text(
        "markdown",
        "Markdown",
        "text/markdown",
        matches=lambda head: _may_be_text(head) and head.suffix in _MARKDOWN,
        suffixes=_MARKDOWN,
        extract=_extract_markdown,
    ),
    _text(
        "text",
        "text",
        "text/plain",
        matches=_may_be_text,
        suffixes=_PLAIN,
        # A page without a tag, notes in Markdown: read as they are, and no surprise.
        also=(*_HTML, *_MARKDOWN),
        extract=_extract_text,
    ),
)


@dataclass(frozen=True, slots=True)
class Table:
    """Formats in the order in which they are asked, and what is looked up in them.

    Raises:
        ValueError: two formats of one name, or two ways to render one operation.
    """

    formats: tuple[Format, ...]
    by_name: Mapping[str, Format] = field(init=False)
    by_suffix: Mapping[str, Format] = field(init=False)
    renders: Mapping[str, Render] = field(init=False)

    def __post_init__(self) -> None:
        by_name: dict[str, Format] = {}
        by_suffix: dict[str, Format] = {}
        renders: dict[str, Render] = {}
        for each in self.formats:
            if by_name.setdefault(each.name, each) is not each:
                raise ValueError(f"two formats are named {each.name!r}; rename one")
            for suffix in each.suffixes:
                by_suffix.setdefault(suffix, each)
            for operation, render in each.renders:
                if renders.setdefault(operation, render) is not render:
                    raise ValueError(
                        f"format {each.name}: operation {operation!r} is rendered in two ways; "
                        "rename it in its recipes"
                    )
        for name, value in (("by_name", by_name), ("by_suffix", by_suffix), ("renders", renders)):
            object.__setattr__(self, name, value)

    def versions(self) -> dict[str, str]:
        """Return the versions by modality and by format: a plan is named by them, too.

        Formats that still have the first version of their modality are not named, so that plans
        from before keep their names; a format that is new, or was raised, gives plans another.
        """
        own = {
            each.name: each.version_for(each.modalities[0])
            for each in self.formats
            if not (each.remedy or each.has_first_version())
        }
        return {**FIRST_VERSIONS, **own}


GROUP = "reembed.formats"
"""Name of this table for entry points and for `reembed.registry.add`."""


def register_format(format: Format) -> None:
    """Add a format from outside of this package; the same one again changes nothing.

    Called by a module that the configuration names under `extensions`, when it is imported: every
    process that cuts or renders imports those. An installed package may name the format in the
    entry point group ``reembed.formats`` instead.

    Raises:
        UsageError: another format has the name.
    """
    if format.name in _table_of(()).by_name:
        raise UsageError(f"{format.name!r} is a built-in format; give yours another name")
    add(GROUP, format.name, format)


def load_table() -> Table:
    """Give all formats: those from other packages first, in the order of their names.

    They are asked first since they may take files that the built-in ones would take as plain text.

    Raises:
        UsageError: what another package gives is no format, or contradicts one.
    """
    found = {name: find_added(GROUP, name) for name in names_added(GROUP)}
    added: list[Format] = []
    for name, each in found.items():
        if not isinstance(each, Format) or each.name != name:
            raise UsageError(f"{GROUP}: {name!r} is not a Format of that name but {each!r}")
        added.append(each)
    return _table_of(tuple(added))


@cache
def _table_of(added: tuple[Format, ...]) -> Table:
    try:
        return Table((*added, *FORMATS))
    except ValueError as err:
        raise UsageError(f"{GROUP}: {err}") from err


def format_named(name: str) -> Format:
    """Give a built-in format.

    Raises:
        KeyError: there is none of that name.
    """
    return _table_of(()).by_name[name]
