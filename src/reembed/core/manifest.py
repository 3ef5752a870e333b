"""Manifest of a shard: chunks as columns, media recipes as JSON, tokens by modality."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reembed.core.schema import MANIFEST
from reembed.core.wire import WireFormat
from reembed.types import Chunk, Recipe, RecipePart


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Columns of a manifest that decide what its rows cost."""

    tokens: list[int]
    modalities: list[str]
    splits: list[list[dict[str, Any]] | None] | None

    @classmethod
    def of(cls, manifest: pa.Table) -> TokenCounts:
        """Read them from a table of schema `MANIFEST`."""
        column = manifest.column("token_split")
        mixed = column.null_count < manifest.num_rows
        return cls(
            manifest.column("token_count").to_pylist(),
            manifest.column("modality").to_pylist(),
            column.to_pylist() if mixed else None,
        )

    def of_row(self, row: int, counted: int = -1) -> Iterator[tuple[str, int]]:
        """Yield the tokens of one row by modality.

        Args:
            row: its number.
            counted: what the service counted, in all; a negative number: nothing, so that the
                estimate stands. A count is spread over the modalities as the estimate was.
        """
        estimate = self.tokens[row]
        total = counted if counted >= 0 else estimate
        split = self.splits[row] if self.splits is not None else None
        if not split:
            yield self.modalities[row], total
            return
        left = total
        for each in split[1:]:
            share = total * each["tokens"] // estimate if estimate else 0
            left -= share
            yield each["modality"], share
        yield split[0]["modality"], left


# What of a chunk decides the request that is sent for it, and so the shard's fingerprint.
_IDENTITY = (
    "key",
    "part",
    "title",
    "text",
    "recipe",
    "chunker",
    "generation",
    "source_hash",
    "donor",
)

_ASKED = ("reject_code", "donor", "title", "text", "recipe", "source_hash")


def recipe_to_json(recipe: Recipe) -> str:
    """Write a recipe as it stands in a manifest."""
    return orjson.dumps(_without_empty(asdict(recipe))).decode()


def _without_empty(recipe: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a recipe's fields those that only few have."""
    for part in recipe["parts"]:
        if part["recipe"] is not None:
            part["recipe"] = _without_empty(part["recipe"])
    return {n: v for n, v in recipe.items() if v or n not in ("uri", "parts")}


def recipe_from_json(text: str) -> Recipe:
    """Read a recipe from a manifest."""
    return _recipe(orjson.loads(text))


def _recipe(body: dict[str, Any]) -> Recipe:
    body["options"] = tuple((name, value) for name, value in body["options"])
    body["parts"] = tuple(_part(part) for part in body.get("parts", ()))
    return Recipe(**body)


def _part(body: dict[str, Any]) -> RecipePart:
    inner = body.pop("recipe")
    return RecipePart(**body, recipe=None if inner is None else _recipe(inner))


def _content_of(recipe: str) -> str:
    """Leave out of a recipe where its bytes come from: equal for equal content."""
    if '"uri"' not in recipe:
        return recipe
    body: dict[str, Any] = orjson.loads(recipe)
    for each in (body, *body.get("parts", ())):
        for name in ("uri", "generation"):
            each.pop(name, None)
    return orjson.dumps(body).decode()


def manifest_of(chunks: Iterable[Chunk], wire: WireFormat) -> pa.Table:
    """Chunks in their order as a table of schema `MANIFEST`; requests are not numbered yet.

    `input_bytes` becomes the bytes of the request's line on the wire, base64 and task included.
    """
    # Limits of a job are those of its file, so chunks are weighed as they go over the wire.
    rows = [_row(chunk, _wire_bytes(chunk, wire)) for chunk in chunks]
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def _wire_bytes(chunk: Chunk, wire: WireFormat) -> int:
    if chunk.reject is not None:
        return 0
    if chunk.recipe is not None and chunk.recipe.parts:
        return sum(_part_bytes(part, chunk.title, wire) for part in chunk.recipe.parts)
    if chunk.text is not None:
        return wire.text_bytes(chunk.title, chunk.text)
    return wire.media_bytes(chunk.input_bytes)


def _part_bytes(part: RecipePart, title: str | None, wire: WireFormat) -> int:
    if part.text is None:
        return wire.media_bytes(part.input_bytes)
    return wire.text_bytes(title, part.text)


def _row(chunk: Chunk, wire_bytes: int) -> dict[str, Any]:
    reject = chunk.reject
    return {
        "key": chunk.key,
        "source_uri": chunk.uri,
        "source_index": chunk.position.index,
        "offset": chunk.position.offset,
        "part": chunk.part,
        "parts": chunk.parts,
        "modality": chunk.modality,
        "mime_type": chunk.mime_type,
        "start": chunk.start,
        "end": chunk.end,
        "unit": chunk.unit,
        "title": chunk.title,
        "text": chunk.text,
        "metadata": chunk.metadata,
        "content_hash": chunk.content_hash,
        "token_count": chunk.tokens,
        "token_split": [{"modality": m, "tokens": n} for m, n in chunk.split] or None,
        "input_bytes": wire_bytes,
        "chunker": chunk.chunker,
        "generation": chunk.generation,
        "source_hash": chunk.source_hash,
        "recipe": None if chunk.recipe is None else recipe_to_json(chunk.recipe),
        "warnings": list(chunk.warnings) or None,
        "notes": list(chunk.notes) or None,
        "request": None,
        "donor": None,
        "reject_code": reject.code if reject else None,
        "reject_message": reject.message if reject else None,
        "reject_stage": reject.stage if reject else None,
    }


def request_groups(chunks: pa.Table, with_titles: bool) -> NDArray[np.int64]:
    """Number what the chunks ask for: equal numbers for equal requests, int64 of shape (rows,).

    Chunks of one shard that ask for the same share one request: it is sent, priced and weighed
    once, and each chunk gets a row of its vector. Places do not count, only content: media that
    share a request are rendered from whichever object is still there.

    -1 stands for a chunk that asks for nothing: a reject, or one whose vector a donor has.

    Args:
        chunks: schema `MANIFEST`.
        with_titles: whether titles are sent with texts.
    """
    known: dict[bytes, int] = {}
    groups = np.full(chunks.num_rows, -1, np.int64)
    at = 0
    for batch in chunks.select(list(_ASKED)).to_batches(max_chunksize=1024):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            reject, donor, title, text, recipe, source = row
            if reject is None and donor is None:
                asked: tuple[Any, ...] = (with_titles and title, text)
                if recipe is not None:
                    # Titles are sent with texts, and only mixed requests have both.
                    asked = (_content_of(recipe), source, *(asked if text is not None else ()))
                digest = hashlib.blake2b(repr(asked).encode(), digest_size=16).digest()
                groups[at] = known.setdefault(digest, len(known))
            at += 1
    return groups


def number_requests(manifest: pa.Table, groups: NDArray[np.int64]) -> pa.Table:
    """Give each chunk the ordinal of its request, from 0 in input order; null for group -1.

    Args:
        manifest: the chunks of one shard, schema `MANIFEST`.
        groups: of `request_groups`, shape (rows,); chunks of one group share a request.
    """
    ordinals: list[int | None] = []
    known: dict[int, int] = {}
    for group in groups.tolist():
        ordinals.append(None if group < 0 else known.setdefault(group, len(known)))
    at = manifest.schema.get_field_index("request")
    return manifest.set_column(at, MANIFEST.field("request"), pa.array(ordinals, pa.int32()))


def fingerprint_of(manifest: pa.Table, extra: bytes) -> str:
    """SHA-256 over what decides a shard's requests: specifications, not the bytes of media.

    It stands in the wire keys and in the job's display name, so that no answer joins requests that
    it was not made for, and is checked against the manifest before anything is rendered.

    Columns are hashed as they lie in memory, lengths before characters: making Python's strings
    of them first took as long as the hash itself.

    Args:
        manifest: the shard's chunks.
        extra: what else shapes requests: model, task, dimensions.
    """
    digest = hashlib.sha256(b"%d %b\n%d\n" % (len(extra), extra, manifest.num_rows))
    for name in _IDENTITY:
        column = manifest.column(name)
        if not pa.types.is_string(column.type):
            digest.update(column.to_numpy().astype("<i4", copy=False))
            continue
        lengths = pc.fill_null(pc.binary_length(column), -1)
        digest.update(lengths.to_numpy().astype("<i4", copy=False))
        # One after the other: how a table happens to lie in memory must not show in its name.
        for array in column.chunks:
            digest.update(_characters(array))
    return digest.hexdigest()


def _characters(texts: pa.StringArray) -> memoryview:
    """Return all texts of an array in UTF-8, one after the other."""
    # Arrow leaves open which characters the place of a null has.
    texts = texts.drop_null()
    _, offsets, characters = texts.buffers()
    if characters is None or len(texts) == 0:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(characters)[ends[0] : ends[-1]]
