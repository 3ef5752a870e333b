"""Render the requests of an attempt into a local file, one line each, in wire order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from reembed.core.canaries import plan_canaries, wire_order
from reembed.core.machine.records import Ranges, ordinals_of
from reembed.core.machine.view import Prepared
from reembed.core.manifest import recipe_from_json
from reembed.core.names import wire_key
from reembed.core.policy import ChunkPolicy
from reembed.core.requests import (
    MediaPart,
    Part,
    RequestOptions,
    TextPart,
    embed_request,
    inline_request,
    jsonl_line,
)
from reembed.core.row_errors import clip
from reembed.core.shards import ShardPlan
from reembed.errors import ObjectNotFoundError, RejectError, StorageError
from reembed.storage.base import Storage
from reembed.types import Recipe

_COLUMNS = (
    "source_uri",
    "modality",
    "mime_type",
    "title",
    "text",
    "generation",
    "source_hash",
    "token_count",
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request: what is embedded, the tokens that the plan counts, and its line."""

    part: Part
    tokens: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes request lines from manifest rows; media are read from their objects now.

    `inline` asks for the form that stands in a create's body instead of a line of a file.
    """

    storage: Storage
    policy: ChunkPolicy
    options: RequestOptions
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
        with path.open("wb") as out:
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
        rows = rows_by_request(manifest)
        twins = {c.ordinal: c.twin for c in plan_canaries(plan.requests)}
        for ordinal in ordinals_in_wire_order(plan, ordinals):
            row = rows[twins.get(ordinal, ordinal)]
            try:
                part = self._part(row)
                request = embed_request(part, self.options)
            except RejectError as err:
                yield ordinal, err
                continue
            line = self._line(wire_key(plan.fingerprint, ordinal), request)
            yield ordinal, Rendered(part, row["token_count"], line)

    def _line(self, key: str, request: bytes) -> bytes:
        if self.inline:
            return inline_request(self.options.model, key, request) + b"\n"
        return jsonl_line(key, request)

    def _part(self, row: Mapping[str, Any]) -> Part:
        recipe = recipe_from_json(row["recipe"])
        if recipe is None:
            return TextPart(row["text"], row["title"])
        return MediaPart(self._media(row, recipe), recipe.mime_type)

    def _media(self, row: Mapping[str, Any], recipe: Recipe) -> bytes:
        # Imported here: a run over texts alone never loads the media libraries.
        from reembed.core.media.render import render

        uri = row["source_uri"]
        try:
            with self.storage.open(uri, row["generation"]) as source:
                data = render(recipe, source, self.policy)
        except ObjectNotFoundError as err:
            raise RejectError(
                "source_changed",
                f"{uri} vanished or changed after the plan; plan again to take its new state",
            ) from err
        except (StorageError, OSError) as err:
            raise RejectError("source_unreadable", f"{uri} cannot be read: {err}") from err
        whole = recipe.operation == "as_is"
        if whole and hashlib.sha256(data).hexdigest() != row["source_hash"]:
            raise RejectError(
                "source_changed", f"{uri} holds other bytes than at the plan; plan again"
            )
        return data


def rows_by_request(manifest: pa.Table) -> dict[int, dict[str, Any]]:
    """The first manifest row of each request, by ordinal, with what rendering needs."""
    table = manifest.select([*_COLUMNS, "recipe", "request"])
    found: dict[int, dict[str, Any]] = {}
    for row in _dicts(table):
        if row["request"] is not None:
            found.setdefault(row["request"], row)
    return found


def ordinals_in_wire_order(plan: ShardPlan, ordinals: Ranges | None) -> Sequence[int]:
    """What an attempt sends, in the order of the wire."""
    if ordinals is not None:
        return ordinals_of(ordinals)
    return wire_order(plan.requests, plan_canaries(plan.requests))


def _dicts(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()
