"""Sections `source` and below: where inputs come from, and their keys, titles and metadata."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from reembed.config.added import OpenSection
from reembed.config.base import Problem, ProblemsError, Section, wrong

KINDS = ("files", "manifest", "parquet", "bigquery")

_TABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]*\.[A-Za-z0-9_]+\.[^\s`.]+")


class Columns(Section):
    """Columns of a table; exactly one of `text`, `uri` and `parts` has the content.

    `metadata` names columns that travel with each row as one JSON object. `parts` is a column
    with a list of texts and URIs that share one vector.
    """

    key: str = Field(min_length=1)
    text: str | None = Field(None, min_length=1)
    uri: str | None = Field(None, min_length=1)
    parts: str | None = Field(None, min_length=1)
    title: str | None = Field(None, min_length=1)
    metadata: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_content(self) -> Columns:
        present = [name for name in ("text", "uri", "parts") if getattr(self, name)]
        if len(present) != 1:
            raise wrong(
                "text",
                ", ".join(present) or "none",
                "give the column of exactly one of text, uri or parts",
            )
        return self

    @property
    def content(self) -> str:
        """Column of the content."""
        return self.text or self.uri or self.parts or ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that is read, each once, the key first."""
        columns = [self.key, self.content, *([self.title] if self.title else []), *self.metadata]
        return tuple(dict.fromkeys(columns))


class ParquetSource(Columns):
    """Parquet files, a row an input; the order is that of the files' names, then of rows."""

    files: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _readable_paths(self) -> ParquetSource:
        check_paths("files", self.files)
        return self


class BigQuerySource(Columns):
    """Table, or result of a query, read at one moment; the order is that of the keys.

    `where` is a condition on the table in GoogleSQL. `project` pays for the reading; None means
    that of the environment, or the table's own.
    """

    table: str | None = None
    query: str | None = Field(None, min_length=1)
    where: str | None = Field(None, min_length=1)
    project: str | None = None
    location: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> BigQuerySource:
        if (self.table is None) == (self.query is None):
            raise wrong("table", self.table, "give exactly one of table and query")
        if self.query is not None and self.where is not None:
            raise wrong("where", self.where, "only with a table; write it into the query")
        if self.table is not None:
            check_table("table", self.table)
        return self


class SourceConfig(OpenSection):
    """Where inputs come from: exactly one of `KINDS`, or of the kinds of other packages.

    `sidecar` adds keys, titles and metadata to files: ``json`` reads ``NAME.json`` beside each,
    anything else is the path of one manifest. `https` allows manifests and tables to name web
    pages. `on_missing` decides about rows whose input the source no longer has.
    """

    group: ClassVar[str] = "reembed.sources"
    files: tuple[str, ...] = ()
    sidecar: str | None = Field(None, min_length=1)
    manifest: tuple[str, ...] = ()
    parquet: ParquetSource | None = None
    bigquery: BigQuerySource | None = None
    sample: int | None = Field(None, gt=0)
    https: bool = False
    max_https_mb: float = Field(20, gt=0, le=200)
    on_missing: Literal["keep", "delete"] = "keep"

    @property
    def kind(self) -> str:
        """Name of the kind: one of `KINDS`, or of another package."""
        return self.added_kind or next(name for name in KINDS if getattr(self, name))

    @model_validator(mode="after")
    def _one_kind(self) -> SourceConfig:
        kinds = [name for name in KINDS if _is_given(getattr(self, name))]
        kinds += list(self.model_extra or {})
        if not kinds:
            # Written as an empty list, it is another mistake than left out.
            value = "[]" if self.model_fields_set & set(KINDS) else "missing"
            remedy = 'give for instance files: ["./corpus/**"], or manifest, parquet or bigquery'
            empty = "empty; " if value == "[]" else ""
            raise ProblemsError(Problem("files", value, empty + remedy))
        if len(kinds) > 1:
            raise wrong(kinds[1], "given beside " + kinds[0], f"give one of {', '.join(KINDS)}")
        check_paths("files", self.files)
        check_paths("manifest", self.manifest)
        if self.sidecar is not None and kinds != ["files"]:
            raise wrong("sidecar", self.sidecar, "only with source.files; others name titles")
        return self


def _is_given(value: Any) -> bool:
    return value is not None and value != ()


def check_paths(key: str, paths: tuple[str, ...]) -> None:
    """Refuse what is neither a local path nor ``gs://``.

    Raises:
        ProblemsError: the first such path.
    """
    for index, pattern in enumerate(paths):
        where = f"{key}[{index}]"
        if not pattern.strip():
            raise wrong(where, pattern, "empty; give a path, a pattern or gs://bucket/prefix/**")
        if "://" in pattern and not re.match(r"gs://[^/]", pattern):
            raise wrong(where, pattern, "give a local path or gs://bucket/prefix/**")


def check_table(key: str, name: str) -> None:
    """Refuse what cannot be the name of a table.

    Raises:
        ProblemsError: it is not ``project.dataset.table``.
    """
    if not _TABLE.fullmatch(name):
        raise wrong(key, name, "give project.dataset.table")
