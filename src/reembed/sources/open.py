"""Open the source that a configuration names."""

from __future__ import annotations

from collections.abc import Callable

from reembed.config.load import LoadedConfig
from reembed.errors import UsageError
from reembed.sources.base import Source
from reembed.sources.files import open_files
from reembed.sources.manifest import open_manifest
from reembed.sources.parquet import open_parquet
from reembed.sources.placed import PlacedRows
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage


def _open_bigquery(loaded: LoadedConfig, storage: Storage) -> Source:
    # A second of imports that a run over files never needs.
    from reembed.sources.bigquery import open_bigquery

    return open_bigquery(loaded, storage)


OPENERS: dict[str, Callable[[LoadedConfig, Storage], Source]] = {
    "files": open_files,
    "manifest": open_manifest,
    "parquet": open_parquet,
    "bigquery": _open_bigquery,
}


def open_source(loaded: LoadedConfig, storage: Storage) -> Source:
    """Open a configuration's source, and look at all of it that can be looked at for nothing.

    Raises:
        UsageError: a place, a table or a column is not there; a pattern matches nothing; two
            inputs have one key.
    """
    kind = loaded.config.source.kind
    if kind not in OPENERS:
        raise UsageError(f"source.{kind} cannot be read by this version; give source.files")
    source = OPENERS[kind](loaded, storage)
    columns = loaded.config.source.parquet or loaded.config.source.bigquery
    if columns is None or columns.text is not None:
        return source
    return PlacedRows(source, Resolver(str(loaded.base), https=loaded.config.source.https))
