"""Rows of tables (Parquet files, BigQuery) become items; URIs in them are resolved."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa

from reembed.config.load import LoadedConfig
from reembed.config.source import Columns
from reembed.errors import RejectError, UsageError
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import Block, Prepared, Reader, Source, Span
from reembed.sources.uris import Resolver, is_data
from reembed.storage.base import Storage
from reembed.storage.listing import sample_digest
from reembed.types import Item, ItemPart, Position, Reject

STAGE = "read"


def check_columns(schema: pa.Schema, columns: Columns, name: str) -> None:
    """Refuse a table whose columns cannot be read as configured.

    Args:
        schema: of the table.
        columns: as configured.
        name: of the table, for messages.

    Raises:
        UsageError: a column is not there, or its type does not fit.
    """
    for required in columns.names:
        if required not in schema.names:
            raise UsageError(
                f"{name} has no column {required!r}; it has {', '.join(schema.names[:20])}"
            )
    kinds = (
        (columns.key, _is_key),
        (columns.title, _is_text),
        (columns.text, _is_text),
        (columns.uri, _is_text),
        (columns.parts, _is_parts),
    )
    for column, fits in kinds:
        if column is not None and not fits(schema.field(column).type):
            raise UsageError(
                f"{name}: column {column!r} is {schema.field(column).type}; give a column of "
                f"{_EXPECTED[fits]}"
            )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_key(kind: pa.DataType) -> bool:
    return _is_text(kind) or bool(pa.types.is_integer(kind))


def _is_parts(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return _is_text(kind)
    inner = kind.value_type
    if not pa.types.is_struct(inner):
        return False
    names = {inner.field(at).name for at in range(inner.num_fields)}
    return bool(names) and names <= {"text", "uri"}


_EXPECTED = {
    _is_text: "text",
    _is_key: "text or integers",
    _is_parts: "lists of {text, uri}, or of the same as JSON text",
}


def items_of_rows(
    rows: pa.RecordBatch,
    columns: Columns,
    origin: tuple[str, str],
    positions: Iterable[Position],
    most: bytes | None = None,
) -> list[Item]:
    """Make an item of each row, except those that a sample leaves out.

    A row without a key or without content becomes an item with a reject.

    Args:
        rows: with at least the configured columns.
        columns: as configured.
        origin: URI and generation of the file or table.
        positions: one a row.
        most: the largest `sample_digest` that is included; None includes all.
    """
    keys = rows.column(columns.key).to_pylist()
    content = rows.column(columns.content).to_pylist()
    titles = rows.column(columns.title).to_pylist() if columns.title else [None] * len(keys)
    metadata = _metadata(rows, columns.metadata)
    made = zip(keys, content, titles, metadata, positions, strict=True)
    return [
        _item(columns, origin, *row)
        for row in made
        if most is None or (row[0] is not None and sample_digest(str(row[0])) <= most)
    ]


def _item(
    columns: Columns,
    origin: tuple[str, str],
    key: Any,
    content: Any,
    title: str | None,
    metadata: str | None,
    position: Position,
) -> Item:
    uri, generation = origin
    found = _content(columns, key, content)
    row = f"{uri}#{position.index}.{position.offset}"
    row_key = row if key in (None, "") else str(key)
    data = None
    if columns.uri is not None and isinstance(found, str):
        if is_data(found):
            uri, data = row, found
        else:
            uri, generation = found, ""
    return Item(
        row_key,
        uri,
        position,
        generation=generation,
        title=title,
        metadata=metadata,
        text=found if columns.text is not None and isinstance(found, str) else None,
        parts=found if isinstance(found, tuple) else (),
        reject=found if isinstance(found, Reject) else None,
        data=data,
    )


def resolve_item(item: Item, resolver: Resolver) -> Item:
    """Make the URIs of an item absolute; one that may not be read makes it a reject."""
    if item.reject is not None or item.text is not None:
        return item
    try:
        if item.parts:
            return replace(item, parts=resolver.parts(item.parts))
        return item if item.data is not None else replace(item, uri=resolver.resolve(item.uri))
    except RejectError as err:
        return replace(item, reject=Reject(err.code, err.message, STAGE))


def _content(columns: Columns, key: Any, content: Any) -> str | tuple[ItemPart, ...] | Reject:
    """Return the text or URI of a row, its parts, or a reject where there is nothing to embed."""
    # Without a key nobody could find the vector, nor the next run tell that it is there.
    if key is None or key == "":
        return Reject("no_key", f"the row has no key in column {columns.key!r}", STAGE)
    if content is None:
        return Reject("no_content", f"column {columns.content!r} is null here", STAGE)
    if columns.parts is None:
        return str(content)
    try:
        return parts_of(orjson.loads(content) if isinstance(content, str) else content)
    except ValueError as err:
        return Reject("bad_parts", f"its parts cannot be read: {err}", STAGE)


def parts_of(value: Any) -> tuple[ItemPart, ...]:
    """Read a list of parts, each ``{text: …}`` or ``{uri: …}``.

    Raises:
        ValueError: it is not such a list; says why.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError("give a list of {text} and {uri}, not empty")
    parts = []
    for number, one in enumerate(value):
        fields = {n: v for n, v in one.items() if v is not None} if isinstance(one, dict) else {}
        if len(fields) != 1 or not set(fields) <= {"text", "uri"}:
            raise ValueError(f"part {number} must have exactly one of text and uri")
        [(name, content)] = fields.items()
        if not isinstance(content, str) or not content:
            raise ValueError(f"part {number}: {name} must be text, not empty")
        parts.append(ItemPart(**{name: content}))
    return tuple(parts)


def _metadata(rows: pa.RecordBatch, names: Sequence[str]) -> list[str | None]:
    if not names:
        return [None] * rows.num_rows
    columns = [rows.column(name).to_pylist() for name in names]
    return [
        orjson.dumps(dict(zip(names, row, strict=True)), default=_plain).decode()
        for row in zip(*columns, strict=True)
    ]


def _plain(value: Any) -> Any:
    """Convert what JSON has no form for: exact numbers and bytes as text, times in ISO 8601."""
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def with_resolved_uris(source: Source, columns: Columns, loaded: LoadedConfig) -> Source:
    """Make a source of rows resolve the URIs in its columns; one of texts stays as it is.

    Args:
        source: a table.
        columns: of the table.
        loaded: relative paths start from its folder; says whether web pages may be read.
    """
    if columns.text is not None:
        return source
    return UriRows(source, Resolver(str(loaded.base), https=loaded.config.source.https))


@dataclass(frozen=True, slots=True)
class UriRows:
    """Source whose rows name their content by URIs, and the resolver of these."""

    source: Source
    resolver: Resolver

    @property
    def unique(self) -> bool:
        """Uniqueness of keys, as in the source."""
        return self.source.unique

    def identity(self) -> Iterator[bytes]:
        """Identity of the source."""
        return self.source.identity()

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Prepare the source; its reader then resolves URIs."""
        prepared = self.source.prepare(run_dir, plan)
        return replace(prepared, reader=UriRowsReader(prepared.reader, self.resolver))

    def describe(self) -> str:
        """Description of the source."""
        return self.source.describe()


@dataclass(frozen=True, slots=True)
class UriRowsReader:
    """Reads items by another reader and resolves their URIs."""

    reader: Reader
    resolver: Resolver

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """Read the items of a span; one whose URI may not be read is a reject."""
        for block in self.reader.read(storage, span):
            yield replace(
                block, items=tuple(resolve_item(item, self.resolver) for item in block.items)
            )
