"""`Format`: what the package knows of one format, and the identity of how it was cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, BinaryIO, get_args

from reembed.formats.signatures import Head, Matches
from reembed.types import Modality, Pieces, Recipe

if TYPE_CHECKING:
    from reembed.formats.policy import ChunkPolicy


# What media libraries raise on damaged or hostile input, beside errors of their own.
DAMAGE_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    AssertionError,
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """Text that was read from a file, to be cut into chunks.

    Attributes:
        text: what chunks are cut from.
        title: the file's own, not cleaned yet; None if it has none.
        warnings: for the rows of the file.
        markdown: whether the text is Markdown, which is cut at its headings and blocks.
        is_source: whether the text is the decoded file itself. Anything else is kept under the run
            directory, since the offsets of the rows point into it.
    """

    text: str
    title: str | None = None
    warnings: tuple[str, ...] = ()
    markdown: bool = False
    is_source: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """Recognised file about to be cut; `title` is the one given with it, `name` may be empty."""

    format: Format
    name: str = ""
    title: str | None = None


MAX_TEXT_BYTES = 200_000_000
"""Beyond this a file is a dump rather than a document, and cutting it takes gigabytes."""

Extract = Callable[[bytes], Extracted]
Cut = Callable[[BinaryIO, Input, "ChunkPolicy"], Pieces]
Render = Callable[[Recipe, BinaryIO, "ChunkPolicy"], bytes]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Format:
    """Format of files: how it is recognised, read, cut and rendered.

    A format is read in one of three ways: `extract` makes text of its bytes, which is then titled
    and cut like any text; `cut` makes pieces of its own; `remedy` refuses it with what helps.

    Attributes:
        name: identifies the format for ever; with `version` it enters the content hash.
        label: as messages name it.
        mime_type: of the file; pieces may be sent as another.
        modalities: what its pieces may be; rejects count under the first.
        version: raised by one when the same bytes would be read, cut or converted in another way.
            Rows of this format, and of no other, are then bought again.
        signatures: prefixes, one of which a file of it begins with.
        matches: recognises it where a prefix is not enough.
        last_resort: recognises it where no format of the table did.
        suffixes: of its names, in lower case with the dot. A suffix belongs to one format; a file
            of another format that bears it gets a warning.
        also: suffixes of other formats that it may bear without a warning.
        extract: from the whole file to its text.
        cut: from a seekable file to its pieces.
        renders: for the operations of its recipes, how their bytes are made when the shard is
            submitted.
        max_bytes: of a file that `extract` may be given; a larger one is refused as `too_large`.
        codes: reject codes of its own, explained in docs/rejects.md.
        remedy: why not: a refused format, and what to do about such a file.

    Raises:
        ValueError: fields that contradict each other.
    """

    name: str
    label: str
    mime_type: str
    _: KW_ONLY
    modalities: tuple[Modality, ...]
    version: int = 1
    signatures: tuple[bytes, ...] = ()
    matches: Matches | None = None
    last_resort: Matches | None = None
    suffixes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    extract: Extract | None = None
    cut: Cut | None = None
    renders: tuple[tuple[str, Render], ...] = ()
    max_bytes: int = MAX_TEXT_BYTES
    codes: tuple[str, ...] = ()
    remedy: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"format {self.name!r}: give a name of a-z, 0-9 and hyphens")
        if sum((self.extract is not None, self.cut is not None, bool(self.remedy))) != 1:
            raise ValueError(f"format {self.name}: give one of extract, cut and remedy")
        if self.version < 1 or not self.modalities:
            raise ValueError(f"format {self.name}: give a version from 1 on, and its modalities")
        for suffix in (*self.suffixes, *self.also):
            if not suffix.startswith(".") or suffix != suffix.lower():
                raise ValueError(f"format {self.name}: give suffix {suffix!r} as '.xyz'")

    def recognises(self, head: Head) -> bool:
        """Say whether a file that begins so is of this format."""
        if self.signatures and head.begins_with(self.signatures):
            return True
        return self.matches is not None and self.matches(head)

    def has_first_version(self) -> bool:
        """Say whether what it makes is still named by the modality, as in ``text/1``."""
        return self.version == 1 and self.name in _NAMED_BY_MODALITY

    def version_for(self, modality: Modality) -> str:
        """Name how a piece was made, for instance ``html/2``.

        It stands in the row as `chunker` and is part of the content hash: two of them are never
        compared as if they were the same.
        """
        if self.remedy:
            return UNKNOWN_VERSION
        if self.has_first_version():
            return FIRST_VERSIONS[modality]
        return f"{self.name}/{self.version}"

    def cut_file(self, source: BinaryIO, file: Input, policy: ChunkPolicy) -> Pieces:
        """Cut a file of this format.

        Raises:
            RejectError: what is wrong with the file.
        """
        if self.extract is not None:
            from reembed.formats.text import cut_extracted

            return cut_extracted(source, file, policy)
        assert self.cut is not None, f"{self.name} is refused"
        return self.cut(source, file, policy)


# Versions once went by modality. Version 1 of the formats from that time is still written so, since
# that is what their rows were paid under. No other format may be named here: files of it were read
# in another way before (as plain text, for instance), or refused, and old rows would pass for its.
_NAMED_BY_MODALITY = frozenset(
    (
        *("text", "markdown", "html", "pdf", "png", "jpeg", "gif", "tiff", "webp", "bmp", "avif"),
        *("wav", "flac", "ogg", "caf", "au", "wave64", "wavpack", "amr", "m4a", "aiff", "aac"),
        *("mp3", "mov", "mp4", "webm", "matroska", "avi", "flv", "asf", "mpeg", "mpeg-ts"),
    )
)
FIRST_VERSIONS: dict[str, str] = {
    modality: "none/1" if modality == "unknown" else f"{modality}/1"
    for modality in get_args(Modality)
}
MIXED_VERSION = FIRST_VERSIONS["mixed"]
UNKNOWN_VERSION = FIRST_VERSIONS["unknown"]


def refused_format(label: str, mime_type: str, remedy: str) -> Format:
    """Make the format of a file that is in no table."""
    return Format("unknown", label, mime_type, modalities=("unknown",), remedy=remedy)
