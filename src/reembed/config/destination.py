"""Sections `destination` and below: where rows go and how they are written."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from reembed.config.added import OpenSection
from reembed.config.base import Section, wrong
from reembed.config.source import check_table


class ParquetOptions(Section):
    """Options of the Parquet parts."""

    compression: Literal["zstd", "snappy", "gzip", "none"] = "zstd"


class BigQueryOptions(Section):
    """Destination table, and what is made with it.

    `staging` is a folder in Cloud Storage that load jobs read from where `run_dir` is local; None
    uploads the parts with each load job. `staging_dataset` (``project.dataset``) takes the run's
    staging table; None means that of the destination. `view` is what `cutover` points at the
    table. `allow_other_model` lets rows of another model stay beside the new ones.
    """

    table: str
    project: str | None = None
    location: str | None = None
    staging: str | None = Field(None, pattern=r"^gs://[^/]")
    staging_dataset: str | None = Field(None, pattern=r"^[^\s`.]+(\.[^\s`.]+)+$")
    partition_by: Literal["embedded_at"] | None = None
    cluster_by: tuple[str, ...] = Field(("key",), max_length=4)
    vector_index: Literal["none", "print", "create"] = "print"
    view: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    allow_other_model: bool = False

    @model_validator(mode="after")
    def _names(self) -> BigQueryOptions:
        check_table("table", self.table)
        if self.view is not None:
            check_table("view", self.view)
            if self.view == self.table:
                raise wrong("view", self.view, "the table itself; give the name of a view")
        return self


class DestinationConfig(OpenSection):
    """Where rows go; `text` adds each chunk's text to its row.

    Parts in Parquet are always written, under the run directory. With `bigquery`, or a section of
    another package's kind, a settled run is published there, and that is the destination.
    """

    group: ClassVar[str] = "reembed.destinations"
    parquet: ParquetOptions = ParquetOptions()
    bigquery: BigQueryOptions | None = None
    text: bool = False

    @property
    def kind(self) -> str:
        """Name of the kind: ``bigquery``, that of another package, else ``parquet``."""
        return self.added_kind or ("bigquery" if self.bigquery is not None else "parquet")

    @model_validator(mode="after")
    def _one_kind(self) -> DestinationConfig:
        kinds = [*(["bigquery"] if self.bigquery is not None else []), *(self.model_extra or {})]
        if len(kinds) > 1:
            raise wrong(kinds[1], "given beside " + kinds[0], "give one of them")
        return self
