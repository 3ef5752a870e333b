"""Turn an item and its bytes into chunks: recognise, cut, hash; every failure becomes a reject."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import orjson

from reembed.config.tasks import DOCUMENT_TASK, clean_title
from reembed.errors import RejectError, StorageError
from reembed.formats.base import Format, Input, refused_format
from reembed.formats.policy import ChunkPolicy
from reembed.formats.recognise import Recognised, recognise
from reembed.formats.signatures import HEAD_BYTES
from reembed.formats.table import format_named
from reembed.formats.titles import title_of_name
from reembed.types import Chunk, ChunkedItem, Item, Modality, Piece, Pieces, Reject

STAGE = "chunk"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Cut:
    """Outcome of cutting some bytes: their format, their SHA-256, and their pieces or a reject."""

    known: Recognised
    source_hash: str
    found: Pieces | Reject


def chunk_item(
    item: Item, source: BinaryIO, policy: ChunkPolicy, name: str | None = None
) -> ChunkedItem:
    """Make all chunks of an item, or the one rejected chunk that says why there are none.

    Args:
        item: as the listing saw it.
        source: its bytes, readable and seekable.
        policy: how items are cut.
        name: of the file; None: the item's URI.

    Returns:
        At least one chunk, numbered from 0, all with the same `content_hash`.

    Raises:
        OSError, StorageError: reading `source` failed. The caller repeats it, or rejects the item
            with `rejected_item`: a network that fails is no fault of the item.
    """
    name = item.uri if name is None else name
    cut = cut_source(source, name, item.title, policy)
    if isinstance(cut.found, Reject):
        return reject_item(item, cut.known, cut.source_hash, cut.found)
    return _chunks(item, cut.found, cut, name, policy)


def cut_source(source: BinaryIO, name: str, title: str | None, policy: ChunkPolicy) -> Cut:
    """Recognise, hash and cut some bytes.

    Args:
        source: readable and seekable.
        name: of the file; may be empty.
        title: given with them.
        policy: how they are cut.

    Raises:
        OSError, StorageError: reading `source` failed.
    """
    head, source_hash = _read_through(source)
    known = recognise(head, name, policy.table())
    try:
        pieces = _cut(source, Input(known.format, name, title), policy)
        _check_modalities(pieces, policy)
    except RejectError as err:
        return Cut(known, source_hash, Reject(err.code, err.message, STAGE))
    except StorageError:
        raise
    except Exception as err:  # the one place: whatever a media library throws on hostile bytes
        message = (
            f"{known.format.label or 'the file'} could not be read ({type(err).__name__}: {err}); "
            "check that it opens elsewhere, or convert it"
        )
        return Cut(known, source_hash, Reject("unreadable_media", message, STAGE))
    return Cut(known, source_hash, pieces)


def chunk_text_item(item: Item, text: str, policy: ChunkPolicy) -> ChunkedItem:
    """Make all chunks of an item whose text stood in its source, a table or a manifest.

    Args:
        item: its title is the only one: a name would be the source's, not the text's.
        text: as it stood in its source.
        policy: how items are cut.
    """
    from reembed.formats.text import cut_plain

    known = Recognised(format_named("text"))
    source_hash = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    try:
        pieces = cut_plain(text, item.title, policy)
    except RejectError as err:
        return reject_item(item, known, source_hash, Reject(err.code, err.message, STAGE))
    return _chunks(item, pieces, Cut(known, source_hash, pieces), "", policy)


def rejected_item(item: Item, code: str, message: str, stage: str) -> ChunkedItem:
    """Make the reject of an item whose bytes could not be had: part 0 of 1, hashes empty."""
    return reject_item(item, unrecognised(), "", Reject(code, message, stage))


def unrecognised(mime_type: str = "") -> Recognised:
    """Stand for the format of what was never looked at."""
    return Recognised(refused_format("", mime_type, "give its bytes"))


def _read_through(source: BinaryIO) -> tuple[bytes, str]:
    """Hash a source: (its first `HEAD_BYTES`, SHA-256)."""
    source.seek(0)
    head, digest = b"", hashlib.sha256()
    while block := source.read(_BLOCK):
        if len(head) < HEAD_BYTES:
            head += block[: HEAD_BYTES - len(head)]
        digest.update(block)
    source.seek(0)
    return head, digest.hexdigest()


def _cut(source: BinaryIO, file: Input, policy: ChunkPolicy) -> Pieces:
    if not source.read(1):
        raise RejectError("empty_file", "the file has no bytes; write it again, or remove it")
    source.seek(0)
    known = file.format
    if known.remedy:
        raise RejectError("unsupported_type", f"it holds {known.label}; {known.remedy}")
    if not set(known.modalities) & set(policy.spec.modalities()):
        raise _unsupported(" and ".join(sorted(known.modalities)), policy)
    pieces = known.cut_file(source, file, policy)
    if not pieces.pieces:
        raise RejectError("blank_text", "there is nothing to embed in it; remove the file")
    return pieces


def _check_modalities(pieces: Pieces, policy: ChunkPolicy) -> None:
    # Only opening a container tells whether it holds video, and whether a soundtrack is cut too.
    for piece in pieces.pieces:
        if piece.modality not in policy.spec.modalities():
            raise _unsupported(piece.modality, policy)


def _unsupported(modality: str, policy: ChunkPolicy) -> RejectError:
    taken = ", ".join(policy.spec.modalities())
    return RejectError(
        "modality_unsupported",
        f"{policy.spec.name} takes no {modality} (only {taken}); choose gemini-embedding-2, or "
        "leave such files out of source.files",
    )


def _chunks(item: Item, pieces: Pieces, cut: Cut, name: str, policy: ChunkPolicy) -> ChunkedItem:
    known, source_hash, title = cut.known, cut.source_hash, pieces.title
    if pieces.pieces[0].modality != "text":
        # Not sent with media; kept in the row for people.
        title = clean_title(item.title) or clean_title(title) or title_of_name(name)
    versions = _versions(known.format, pieces.pieces)
    # A title counts only where it is sent: renaming an image must not buy it again.
    sent = title if set(versions) == {"text"} and policy.task == DOCUMENT_TASK else None
    content_hash = hash_content(source_hash, versions.items(), sent, policy)
    warnings = (*((known.warning,) if known.warning else ()), *pieces.warnings)

    def chunk(part: int, piece: Piece) -> Chunk:
        return Chunk(
            key=item.key,
            uri=item.uri,
            position=item.position,
            part=part,
            parts=len(pieces.pieces),
            modality=piece.modality,
            mime_type=piece.mime_type,
            tokens=piece.tokens,
            input_bytes=piece.input_bytes,
            generation=item.generation,
            source_hash=source_hash,
            content_hash=content_hash,
            chunker=versions[piece.modality],
            start=piece.start,
            end=piece.end,
            unit=piece.unit,
            title=title,
            text=piece.text,
            metadata=item.metadata,
            recipe=piece.recipe,
            warnings=warnings,
            # Facts of the item, which the plan counts: on one of its chunks only.
            notes=pieces.notes if part == 0 else (),
        )

    parts = enumerate(pieces.pieces)
    return ChunkedItem(tuple(chunk(part, piece) for part, piece in parts), pieces.extracted)


def _versions(known: Format, pieces: Iterable[Piece]) -> dict[Modality, str]:
    return {piece.modality: known.version_for(piece.modality) for piece in pieces}


def hash_content(
    source_hash: str,
    versions: Iterable[tuple[Modality, str]],
    title: str | None,
    policy: ChunkPolicy,
) -> str:
    """SHA-256 over the source and everything else that decides its vectors, in hex.

    It is what the destination compares: a chunk whose key, part and content hash are there is not
    paid again. So it has the versions of the formats that are in it and of no others, and of the
    configuration only the sections and limits of its modalities: raising the version of HTML, or
    the length of audio chunks, buys no other row again.

    Args:
        source_hash: of the bytes.
        versions: (modality, version of the format) of the pieces; order and doubles do not matter.
        title: where it is sent, else None.
        policy: how they are cut.
    """
    made = sorted(set(versions))
    modalities = sorted({str(modality) for modality, _ in made})
    sections = policy.chunking.model_dump(mode="json", include=set(modalities))
    limits = policy.spec.model_dump(mode="json", include=set(modalities))
    task = policy.task if "text" in modalities else None
    content = [
        source_hash,
        [version for _, version in made],
        sections,
        limits,
        policy.spec.name,
        policy.dimensions,
        task,
        title,
    ]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def reject_item(item: Item, known: Recognised, source_hash: str, reject: Reject) -> ChunkedItem:
    """Make the reject of an item: part 0 of 1, counted under the first modality of its format."""
    modality = known.format.modalities[0]
    chunk = Chunk(
        key=item.key,
        uri=item.uri,
        position=item.position,
        part=0,
        parts=1,
        modality=modality,
        mime_type=known.format.mime_type,
        tokens=0,
        input_bytes=0,
        generation=item.generation,
        source_hash=source_hash,
        content_hash=source_hash,
        chunker=known.format.version_for(modality),
        title=clean_title(item.title),
        metadata=item.metadata,
        warnings=(known.warning,) if known.warning else (),
        reject=reject,
    )
    return ChunkedItem((chunk,))
