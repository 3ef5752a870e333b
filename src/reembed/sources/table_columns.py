"""The columns of a BigQuery table, against what a configuration says they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reembed.config.source import BigQuerySource
from reembed.errors import UsageError
from reembed.warehouse.base import Field, Table

Fits = Callable[[Field], bool]


def columns_of(table: Table, wanted: BigQuerySource, place: str) -> BigQuerySource:
    """The configured columns, spelt as the table spells them: BigQuery compares without case.

    Args:
        table: what is read.
        wanted: as configured.
        place: what the table is called in messages.

    Raises:
        UsageError: a column is not there, or of a type that cannot hold what it is said to.
    """

    def found(name: str, fits: Fits | None = None) -> str:
        field = table.column(name)
        if field is None:
            has = ", ".join(each.name for each in table.fields[:20])
            raise UsageError(f"{place} has no column {name!r}; it has {has}")
        if fits is not None and not fits(field):
            raise UsageError(
                f"{place}: column {name!r} is {field.sql_type}; give a column of {_WANTED[fits]}"
            )
        return field.name

    def spelt(name: str | None, fits: Fits) -> str | None:
        return None if name is None else found(name, fits)

    update = {
        "key": found(wanted.key, _is_key),
        "text": spelt(wanted.text, _is_text),
        "uri": spelt(wanted.uri, _is_text),
        "parts": spelt(wanted.parts, _is_parts),
        "title": spelt(wanted.title, _is_text),
        "metadata": tuple(found(name) for name in wanted.metadata),
    }
    return wanted.model_copy(update=update)


def _is_key(field: Field) -> bool:
    return field.mode != "REPEATED" and field.type in ("STRING", "INT64")


def _is_text(field: Field) -> bool:
    return field.mode != "REPEATED" and field.type == "STRING"


def _is_parts(field: Field) -> bool:
    if field.mode != "REPEATED":
        return field.type in ("STRING", "JSON")
    inner = field.fields
    named = {each.name for each in inner} <= {"text", "uri"}
    return field.type == "STRUCT" and bool(inner) and named and all(_is_text(f) for f in inner)


_WANTED: Final[dict[Fits, str]] = {
    _is_key: "STRING or INT64",
    _is_text: "STRING",
    _is_parts: "ARRAY<STRUCT<text STRING, uri STRING>>, or of JSON or STRING that says the same",
}
