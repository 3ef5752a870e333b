"""Turn an item and its bytes into chunks: recognise, cut, hash; every failure becomes a reject."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

import orjson

from reembed.config.tasks import DOCUMENT_TASK
from reembed.errors import RejectError, StorageError
from reembed.formats.policy import CHUNKER_VERSIONS, ChunkPolicy
from reembed.formats.recognise import HEAD_BYTES, Recognised, recognise
from reembed.formats.titles import clean_title, title_of_name
from reembed.types import Chunk, ChunkedItem, Item, Modality, Piece, Pieces, Reject

STAGE = "chunk"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of some bytes; `found` are their pieces, or why there are none."""

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
        OSError, StorageError: reading `source` failed; that is the caller's to repeat, and to
            reject with `rejected_item`.
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
    head, source_hash, size = _read_through(source)
    known = recognise(head, name, size)
    try:
        pieces = _cut(known, source, name, title, policy)
        _check_modalities(pieces, policy)
    except RejectError as err:
        return Cut(known, source_hash, Reject(err.code, err.message, STAGE))
    except StorageError:
        raise
    except Exception as err:  # the one place: whatever a media library throws on hostile bytes
        message = (
            f"{known.label or 'the file'} could not be read ({type(err).__name__}: {err}); "
            "check that it opens elsewhere, or convert it"
        )
        return Cut(known, source_hash, Reject("unreadable_media", message, STAGE))
    return Cut(known, source_hash, pieces)


def chunk_text_item(item: Item, text: str, policy: ChunkPolicy) -> ChunkedItem:
    """Make all chunks of an item whose text stood in its source.

    Args:
        item: its title is the only one: a name would be the source's, not the text's.
        text: as the source held it.
        policy: how items are cut.
    """
    from reembed.formats.text import cut_plain

    known = Recognised("text", "text/plain")
    source_hash = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    try:
        pieces = cut_plain(text, item.title, policy)
    except RejectError as err:
        return reject_item(item, known, source_hash, Reject(err.code, err.message, STAGE))
    return _chunks(item, pieces, Cut(known, source_hash, pieces), "", policy)


def rejected_item(item: Item, code: str, message: str, stage: str) -> ChunkedItem:
    """Make the reject of an item whose bytes could not be had: part 0 of 1, hashes empty."""
    return reject_item(item, Recognised("unknown", ""), "", Reject(code, message, stage))


def _read_through(source: BinaryIO) -> tuple[bytes, str, int]:
    """Hash a source: (its first `HEAD_BYTES`, SHA-256, bytes)."""
    source.seek(0)
    head, digest, size = b"", hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        if len(head) < HEAD_BYTES:
            head += block[: HEAD_BYTES - len(head)]
        digest.update(block)
        size += len(block)
    source.seek(0)
    return head, digest.hexdigest(), size


def _cut(
    known: Recognised, source: BinaryIO, name: str, title: str | None, policy: ChunkPolicy
) -> Pieces:
    if not source.read(1):
        raise RejectError("empty_file", "the file has no bytes; write it again, or remove it")
    source.seek(0)
    if known.family == "unknown":
        raise RejectError("unsupported_type", f"it holds {known.label}; {known.remedy}")
    wanted = ("audio", "video") if known.family == "av" else (_family_modality(known),)
    if not set(wanted) & set(policy.spec.modalities()):
        raise _unsupported(" and ".join(wanted), policy)
    pieces = _cutter(known, name, title, policy)(source)
    if not pieces.pieces:
        raise RejectError("blank_text", "there is nothing to embed in it; remove the file")
    return pieces


def _cutter(
    known: Recognised, name: str, title: str | None, policy: ChunkPolicy
) -> Callable[[BinaryIO], Pieces]:
    """Choose the chunker; imported here, so that text loads no media library."""
    if known.family == "image":
        from reembed.formats.image import cut_image

        return lambda source: cut_image(source, known.mime_type, policy)
    if known.family == "av":
        from reembed.formats.video import cut_av

        return lambda source: cut_av(source, known.mime_type, policy)
    if known.family == "pdf":
        from reembed.formats.pdf import cut_pdf

        return lambda source: cut_pdf(source, policy)
    from reembed.formats.text import check_size, cut_text

    def cut(source: BinaryIO) -> Pieces:
        check_size(known.family, source.seek(0, 2))
        source.seek(0)
        return cut_text(source.read(), known.family, name, policy, title)

    return cut


def _check_modalities(pieces: Pieces, policy: ChunkPolicy) -> None:
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


def _family_modality(known: Recognised) -> Modality:
    if known.family == "av":
        return "audio" if known.mime_type.startswith("audio/") else "video"
    return "text" if known.family == "html" else known.family


def _chunks(item: Item, pieces: Pieces, cut: Cut, name: str, policy: ChunkPolicy) -> ChunkedItem:
    known, source_hash, title = cut.known, cut.source_hash, pieces.title
    if pieces.pieces[0].modality != "text":
        # Not sent with media; kept in the row for people.
        title = clean_title(item.title) or clean_title(title) or title_of_name(name)
    modalities = {piece.modality for piece in pieces.pieces}
    # A title counts only where it is sent.
    sent = title if modalities == {"text"} and policy.task == DOCUMENT_TASK else None
    content_hash = hash_content(source_hash, modalities, sent, policy)
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
            chunker=CHUNKER_VERSIONS[piece.modality],
            start=piece.start,
            end=piece.end,
            unit=piece.unit,
            title=title,
            text=piece.text,
            metadata=item.metadata,
            recipe=piece.recipe,
            warnings=warnings,
            # Facts of the item, counted by the plan: said once.
            notes=pieces.notes if part == 0 else (),
        )

    parts = enumerate(pieces.pieces)
    return ChunkedItem(tuple(chunk(part, piece) for part, piece in parts), pieces.extracted)


def hash_content(
    source_hash: str, kinds: Iterable[Modality], title: str | None, policy: ChunkPolicy
) -> str:
    """SHA-256 over the source and all of the configuration that changes its vectors.

    Args:
        source_hash: of the bytes.
        kinds: modalities of the pieces.
        title: where it is sent, else None.
        policy: how they are cut.
    """
    modalities = sorted(str(kind) for kind in kinds)
    sections = policy.chunking.model_dump(mode="json", include=set(modalities))
    limits = policy.spec.model_dump(mode="json", include=set(modalities))
    task = policy.task if "text" in modalities else None
    said = [
        source_hash,
        [CHUNKER_VERSIONS[modality] for modality in modalities],
        sections,
        limits,
        policy.spec.name,
        policy.dimensions,
        task,
        title,
    ]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def reject_item(item: Item, known: Recognised, source_hash: str, reject: Reject) -> ChunkedItem:
    """Make the reject of an item: part 0 of 1."""
    modality = _family_modality(known)
    chunk = Chunk(
        key=item.key,
        uri=item.uri,
        position=item.position,
        part=0,
        parts=1,
        modality=modality,
        mime_type=known.mime_type,
        tokens=0,
        input_bytes=0,
        generation=item.generation,
        source_hash=source_hash,
        content_hash=source_hash,
        chunker=CHUNKER_VERSIONS[modality],
        title=clean_title(item.title),
        metadata=item.metadata,
        warnings=(known.warning,) if known.warning else (),
        reject=reject,
    )
    return ChunkedItem((chunk,))
