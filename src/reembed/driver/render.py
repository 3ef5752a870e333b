"""Render the requests of an attempt into a local file, one line each, in wire order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from reembed.core.canaries import plan_canaries, wire_order
from reembed.core.manifest import recipe_from_json
from reembed.core.names import wire_key
from reembed.core.plans import ShardPlan
from reembed.core.records import Ranges, ordinals_of
from reembed.core.row_errors import clip
from reembed.core.rows import first_rows
from reembed.core.wire import MediaPart, MixedPart, Part, TextPart, WireFormat
from reembed.errors import ObjectNotFoundError, RejectError, StorageError
from reembed.formats.policy import ChunkPolicy
from reembed.machine.states import Prepared
from reembed.storage.content import ContentReader
from reembed.types import Recipe, RecipePart

_BLOCK = 1 << 20
_BLOCK_ROWS = 256


class _Media(NamedTuple):
    """Parts of a manifest's row with media that rendering needs."""

    request: int
    source_uri: str
    title: str | None
    generation: str
    source_hash: str
    token_count: int
    recipe: str


@dataclass(frozen=True, slots=True)
class _State:
    """Bytes as the plan saw them: their place, its generation (if it keeps one), their hash."""

    uri: str
    generation: str
    source_hash: str


class Rendered(NamedTuple):
    """Request: what is embedded, the tokens that the plan counts, and its line."""

    part: Part
    tokens: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes request lines from manifest rows; media are read from their objects now.

    `inline` asks for the form that stands in a create's body instead of a line of a file.
    """

    content: ContentReader
    policy: ChunkPolicy
    wire: WireFormat
    inline: bool

    def render(
        self, plan: ShardPlan, manifest: pa.Table, ordinals: Ranges | None, path: Path
    ) -> tuple[Prepared, dict[int, tuple[str, str]]]:
        """Write the lines of an attempt to `path`.

        Args:
            plan: the shard's plan.
            manifest: its chunks.
            ordinals: what to send; None for all, with the canaries.
            path: a local file to make.

        Returns:
            The file, and code and message for each ordinal that could not be rendered.
        """
        unsent: dict[int, tuple[str, str]] = {}
        sent = size = 0
        with path.open("wb", buffering=_BLOCK) as out:
            for ordinal, made in self.each(plan, manifest, ordinals):
                if isinstance(made, RejectError):
                    unsent[ordinal] = (made.code, clip(made.message))
                    continue
                size += out.write(made.line)
                sent += 1
        return Prepared(str(path), sent, size), unsent

    def each(
        self, plan: ShardPlan, manifest: pa.Table, ordinals: Ranges | None
    ) -> Iterator[tuple[int, Rendered | RejectError]]:
        """Yield each ordinal in wire order with its request, or why it cannot be rendered."""
        media = _media_by_request(manifest)
        for ordinal, request, text, tokens in _asked(plan, manifest, ordinals):
            key = wire_key(plan.fingerprint, ordinal)
            try:
                if request in media:
                    made = self._first_of(media[request], key)
                else:
                    made = self._made(text, tokens, key)
            except RejectError as err:
                yield ordinal, err
            else:
                yield ordinal, made

    def _first_of(self, rows: Sequence[_Media], key: str) -> Rendered:
        """Return the request from the first of its chunks whose content is still to be had.

        All of them asked for the same bytes when the plan was made.
        """
        refused: RejectError | None = None
        for row in rows:
            try:
                return self._made(self._part(row), row.token_count, key)
            except RejectError as err:
                refused = refused or err
        assert refused is not None
        raise refused

    def _made(self, part: Part, tokens: int, key: str) -> Rendered:
        if self.inline:
            line = self.wire.request(key, part, "inline") + b"\n"
        else:
            line = self.wire.request(key, part, "file")
        return Rendered(part, tokens, line)

    def _part(self, row: _Media) -> Part:
        recipe = recipe_from_json(row.recipe)
        if recipe.parts:
            return MixedPart(tuple(self._content(part, row.title) for part in recipe.parts))
        # What stood in the source itself is kept elsewhere, under the name of its hash.
        at = _State(recipe.uri, "", row.source_hash)
        if not recipe.uri:
            at = _State(row.source_uri, row.generation, row.source_hash)
        return MediaPart(self._media(at, recipe), recipe.mime_type)

    def _content(self, part: RecipePart, title: str | None) -> TextPart | MediaPart:
        if part.recipe is None:
            return TextPart(part.text or "", title)
        at = _State(part.uri, part.generation, part.source_hash)
        return MediaPart(self._media(at, part.recipe), part.recipe.mime_type)

    def _media(self, at: _State, recipe: Recipe) -> bytes:
        # Imported here: a run over texts alone never loads the media libraries.
        from reembed.formats.render import render

        uri = at.uri
        try:
            with self.content.open(uri, at.generation) as opened:
                if not at.generation:
                    _check_hash(at, _hash_of(opened.stream))
                    opened.stream.seek(0)
                data = render(recipe, opened.stream, self.policy)
        except ObjectNotFoundError as err:
            raise RejectError(
                "source_changed",
                f"{uri} vanished or changed after the plan; plan again to take its new state",
            ) from err
        except (StorageError, OSError) as err:
            raise RejectError("source_unreadable", f"{uri} cannot be read: {err}") from err
        if recipe.operation == "as_is":
            _check_hash(at, hashlib.sha256(data).hexdigest())
        return data


def _hash_of(source: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _check_hash(at: _State, found: str) -> None:
    if found != at.source_hash:
        raise RejectError(
            "source_changed", f"{at.uri} holds other bytes than at the plan; plan again"
        )


def _asked(
    plan: ShardPlan, manifest: pa.Table, ordinals: Ranges | None
) -> Iterator[tuple[int, int, TextPart, int]]:
    """Yield each ordinal in wire order: its request, that request's text, and its tokens.

    A canary's request is that of its original. Texts are made from Arrow's memory a block at a
    time: all of a shard's at once would be its memory twice, and fresh memory is what takes the
    time.
    """
    originals = {c.ordinal: c.original for c in plan_canaries(plan.requests)}
    texts = manifest.select(["text", "title", "token_count"])
    first = first_rows(manifest)
    order = ordinals_in_wire_order(plan, ordinals)
    for start in range(0, len(order), _BLOCK_ROWS):
        block = order[start : start + _BLOCK_ROWS]
        requests = [originals.get(ordinal, ordinal) for ordinal in block]
        text, title, tokens = (c.to_pylist() for c in texts.take(first[requests]).columns)
        yield from zip(block, requests, map(TextPart, text, title), tokens, strict=True)


def _media_by_request(manifest: pa.Table) -> dict[int, list[_Media]]:
    """Return the rows with media (and perhaps texts) of each request, by ordinal."""
    found: dict[int, list[_Media]] = {}
    wanted = (pc.is_valid(manifest.column(name)) for name in ("recipe", "request"))
    rows = manifest.select(list(_Media._fields)).filter(pc.and_(*wanted))
    for row in map(_Media._make, zip(*(c.to_pylist() for c in rows.columns), strict=True)):
        found.setdefault(row.request, []).append(row)
    return found


def ordinals_in_wire_order(plan: ShardPlan, ordinals: Ranges | None) -> Sequence[int]:
    """List what an attempt sends, in the order of the wire."""
    if ordinals is not None:
        return ordinals_of(ordinals)
    return wire_order(plan.requests, plan_canaries(plan.requests))
