"""Values that travel between the stages: frozen, slotted, sortable where order matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Modality = Literal["text", "image", "audio", "video", "pdf", "mixed", "unknown"]
Unit = Literal["char", "second", "page"]
# How a recipe's bytes are made: `as_is`, `mixed`, or one that a format renders (image, audio, …).
Operation = str


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Place of an item in the input order; two int64 that sort.

    A file's `index` is its number in the sorted listing; a manifest line's, its number among all
    lines, with the byte offset of the line as `offset`; a row of a Parquet file's, its number
    among all rows. A table is in the order of its keys: of integers, `index` is 0 and the key is
    `offset`, whatever else the table has; of texts, `index` is the partition and `offset` the
    key's rank in it.
    """

    index: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Reject:
    """Reason for a chunk without a vector: a code to group by, a message to act on, the stage."""

    code: str
    message: str
    stage: str


@dataclass(frozen=True, slots=True)
class ItemPart:
    """Part of an input whose contents share a vector: a text, or an object by its URI."""

    text: str | None = None
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """Input as its source named it.

    Its content is the object at `uri`; or `text`, `data` (a ``data:`` URI) or `parts`, which share
    one vector, with `uri` naming where these stood. `generation` names the state of the object at
    `uri` (Cloud Storage: its generation; disk: size and modification time in nanoseconds; empty:
    whatever is there when it is read), `checksum` is the listing's of the bytes
    (``crc32c:…``, ``md5:…``) and may be empty. `reject` is set where the source itself could not
    make an input of it.
    """

    key: str
    uri: str
    position: Position
    size: int = 0
    generation: str = ""
    checksum: str = ""
    title: str | None = None
    metadata: str | None = None
    text: str | None = None
    parts: tuple[ItemPart, ...] = ()
    reject: Reject | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class RecipePart:
    """Part of a mixed request: a text, or media with the state of their object.

    `tokens` and `input_bytes` are as a `Piece` has them; `generation` and `source_hash` as a
    `Chunk`.
    """

    modality: Modality
    tokens: int
    input_bytes: int
    text: str | None = None
    uri: str = ""
    generation: str = ""
    source_hash: str = ""
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Instructions that make a media piece's bytes from its object when its shard is submitted.

    `start` and `end` are seconds (audio, video) or 1-based inclusive page numbers (pdf); None
    means the whole. `options` are sorted (name, value) pairs that the operation needs to make the
    same bytes again, for instance ``(("mode", "copy"),)``. `uri` is where the bytes are if that
    is not the chunk's own URI; `parts` are the contents of a mixed request, in order.
    """

    operation: Operation
    mime_type: str
    start: float | None = None
    end: float | None = None
    options: tuple[tuple[str, str], ...] = ()
    uri: str = ""
    parts: tuple[RecipePart, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Piece that is cut from a file: a chunk that does not know its item yet.

    `start` and `end` are character offsets (half-open), seconds, or 1-based inclusive pages, by
    `unit`; None for what has no extent (an image). `tokens` is a conservative (never too
    low) estimate, `input_bytes` the bytes of the media or of the UTF-8 text that will be sent,
    before base64. Exactly one of `text` and `recipe` is set.
    """

    modality: Modality
    mime_type: str
    tokens: int
    input_bytes: int
    start: float | None = None
    end: float | None = None
    unit: Unit | None = None
    text: str | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of one file, in order.

    `extracted` is the readable text that character offsets point into where that is not the
    decoded source itself (as for HTML). `notes` are facts that the plan counts, for instance
    ``video_with_sound``.
    """

    pieces: tuple[Piece, ...]
    title: str | None = None
    extracted: str | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of an item that becomes one vector, or a reject.

    An unusable item is one chunk with part 0 of 1 and `reject` set. `source_hash` is the SHA-256
    of the item's bytes; `content_hash` covers the source and everything in the configuration that
    changes its vector, and is the same for all parts of an item. `split` has `tokens` by modality
    where a request mixes them.
    """

    key: str
    uri: str
    position: Position
    part: int
    parts: int
    modality: Modality
    mime_type: str
    tokens: int
    input_bytes: int
    generation: str
    source_hash: str
    content_hash: str
    chunker: str
    start: float | None = None
    end: float | None = None
    unit: Unit | None = None
    title: str | None = None
    text: str | None = None
    metadata: str | None = None
    recipe: Recipe | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reject: Reject | None = None
    split: tuple[tuple[Modality, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkedItem:
    """Chunks of one item, in order, and the extracted text if its offsets need one."""

    chunks: tuple[Chunk, ...]
    extracted: str | None = field(default=None)
