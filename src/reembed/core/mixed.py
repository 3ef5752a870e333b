"""Interleaved content: parts that share one vector, within the model's limits, never cut.

Each part is cut with the model's limits as sizes; one that takes two pieces does not fit one
request, and a vector of half of it would pass for the whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import orjson

from reembed.config.models import ModelSpec
from reembed.config.tasks import DOCUMENT_TASK, clean_title
from reembed.core.chunk import STAGE, cut_source, hash_content, reject_item, unrecognised
from reembed.errors import RejectError
from reembed.formats.base import MIXED_VERSION, Format
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import format_named
from reembed.formats.tokens import estimate_tokens
from reembed.types import Chunk, ChunkedItem, Item, Modality, Recipe, RecipePart, Reject

MIXED_TYPE = "multipart/mixed"


@dataclass(frozen=True, slots=True)
class OpenPart:
    """Part at hand: a `text`, or a `source` to read that is found again at `uri`.

    `name` is the file's, or empty; `generation` is the state in which `source` was opened.
    """

    text: str | None = None
    source: BinaryIO | None = None
    name: str = ""
    uri: str = ""
    generation: str = ""


def chunk_parts(item: Item, parts: Iterable[OpenPart], policy: ChunkPolicy) -> ChunkedItem:
    """Make the one chunk of an item of several parts, or the reject that says why there is none.

    Each text part is sent with the task's words and the item's title, as a text alone would be:
    the vendor's page says of these words "text parts only" and nothing of texts beside media.

    Args:
        item: its parts.
        parts: the same, opened one after the other; each is closed when the next is taken.
        policy: limits; sizes of chunks are the model's own here.

    Raises:
        OSError, StorageError: reading a part failed.
    """
    title = clean_title(item.title) if policy.chunking.text.title else None
    whole = with_model_limits(policy)
    made: list[_Made] = []
    for number, part in enumerate(parts, 1):
        # Checked after each part, so that the reject names the first one that is too much.
        try:
            made.append(_make(part, title, whole))
            check_parts((one.part for one in made), policy.spec)
            _check_weight((one.part for one in made), policy)
        except RejectError as err:
            reject = Reject(err.code, f"part {number}: {err.message}", STAGE)
            return reject_item(item, unrecognised(MIXED_TYPE), "", reject)
    return ChunkedItem((_chunk(item, made, title, whole),))


@dataclass(frozen=True, slots=True)
class _Made:
    """Part as its request will have it, the version of its format, and warnings."""

    part: RecipePart
    version: str
    warnings: tuple[str, ...] = ()


def with_model_limits(policy: ChunkPolicy) -> ChunkPolicy:
    """Give the same policy with the model's limits as sizes: what it cuts takes several requests.

    Soundtracks are left out, since they would be a second piece.
    """
    spec, chunking = policy.spec, policy.chunking
    sections: dict[str, dict[str, object]] = {
        "text": {"max_tokens": spec.text.max_tokens, "overlap_tokens": 0, "title": False}
    }
    if spec.audio is not None:
        sections["audio"] = {"max_seconds": spec.audio.max_seconds, "overlap_seconds": 0.0}
    if spec.video is not None:
        sections["video"] = {
            "max_seconds": spec.video.max_seconds,
            "overlap_seconds": 0.0,
            "soundtrack": "drop",
        }
    if spec.pdf is not None:
        sections["pdf"] = {"max_pages": spec.pdf.max_pages, "overlap_pages": 0}
    sizes = {n: getattr(chunking, n).model_copy(update=new) for n, new in sections.items()}
    return replace(policy, chunking=chunking.model_copy(update=sizes))


def check_parts(parts: Iterable[RecipePart], spec: ModelSpec) -> None:
    """Check that the model takes these parts in one request.

    Raises:
        RejectError: ``parts_over_limit``: too many of a modality, or too many tokens together.
    """
    counts, tokens = Counter[Modality](), 0
    for part in parts:
        counts[part.modality] += 1
        tokens += part.tokens
    for modality, count in counts.items():
        limits = None if modality == "text" else getattr(spec, modality)
        if limits is not None and count > limits.max_per_request:
            raise _over(
                f"it is number {count} of its kind, {modality}; {spec.name} takes at most "
                f"{limits.max_per_request} in one request"
            )
    if tokens > spec.text.max_tokens:
        raise _over(
            f"with it the parts count about {tokens:,} tokens together; {spec.name} takes "
            f"{spec.text.max_tokens:,}"
        )


def _over(message: str) -> RejectError:
    remedy = "parts that share a vector are not cut: leave some out, or make items of them"
    return RejectError("parts_over_limit", f"{message}; {remedy}")


def _check_weight(parts: Iterable[RecipePart], policy: ChunkPolicy) -> None:
    weight = sum(part.input_bytes for part in parts)
    if weight > policy.max_media_bytes:
        raise RejectError(
            "media_too_large",
            f"with it the parts weigh {weight:,} bytes together; one request may hold "
            f"{policy.max_media_bytes:,}: raise batch.max_input_mb",
        )


def _make(part: OpenPart, title: str | None, whole: ChunkPolicy) -> _Made:
    if part.source is None:
        return _text_part(part.text or "", title, format_named("text"), whole)
    cut = cut_source(part.source, part.name, None, whole)
    if isinstance(cut.found, Reject):
        raise RejectError(cut.found.code, cut.found.message)
    warnings = (*((cut.known.warning,) if cut.known.warning else ()), *cut.found.warnings)
    if len(cut.found.pieces) > 1:
        raise _over(
            f"{part.uri or 'it'} is more {cut.found.pieces[0].modality} than one request takes"
        )
    [piece] = cut.found.pieces
    if piece.text is not None:
        return replace(_text_part(piece.text, title, cut.known.format, whole), warnings=warnings)
    made = RecipePart(
        piece.modality,
        piece.tokens,
        piece.input_bytes,
        uri=part.uri,
        generation=part.generation,
        source_hash=cut.source_hash,
        recipe=piece.recipe,
    )
    return _Made(made, cut.known.format.version_for(piece.modality), warnings)


def _text_part(text: str, title: str | None, known: Format, policy: ChunkPolicy) -> _Made:
    from reembed.formats.text import text_size, tokens_around

    size = text_size(text)
    if size > 32 * policy.spec.text.max_tokens:
        # No token is that long on average: spares the count of what cannot fit.
        raise _over(f"its text has {size:,} bytes, more than {policy.spec.name} takes")
    tokens = estimate_tokens(text) + tokens_around(title, policy)
    return _Made(RecipePart("text", tokens, size, text=text), known.version_for("text"))


def _chunk(item: Item, made: Sequence[_Made], title: str | None, policy: ChunkPolicy) -> Chunk:
    parts = tuple(one.part for one in made)
    texts = [part.text for part in parts if part.text is not None]
    split = Counter[Modality]()
    for part in parts:
        split[part.modality] += part.tokens
    # Texts and media in their order, wherever they lie: a moved object is the same content.
    content = [[part.text, part.source_hash] for part in parts]
    source_hash = hashlib.sha256(orjson.dumps(content)).hexdigest()
    sent = title if texts and policy.task == DOCUMENT_TASK else None
    versions = [(one.part.modality, one.version) for one in made]
    mixed: tuple[Modality, str] = ("mixed", MIXED_VERSION)
    return Chunk(
        key=item.key,
        uri=item.uri,
        position=item.position,
        part=0,
        parts=1,
        modality="mixed",
        mime_type=MIXED_TYPE,
        tokens=sum(split.values()),
        input_bytes=sum(part.input_bytes for part in parts),
        generation=item.generation,
        source_hash=source_hash,
        content_hash=hash_content(source_hash, [*versions, mixed], sent, policy),
        chunker=MIXED_VERSION,
        title=title,
        text="\n\n".join(texts) or None,
        metadata=item.metadata,
        recipe=Recipe("mixed", MIXED_TYPE, parts=parts),
        warnings=tuple(
            f"part {number}: {warning}"
            for number, one in enumerate(made, 1)
            for warning in one.warnings
        ),
        split=tuple(sorted(split.items())),
    )
