"""Open the source that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from reembed.config.load import LoadedConfig
from reembed.errors import UsageError
from reembed.sources.base import Source
from reembed.sources.rows import UriRows
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage

Opener = Callable[[LoadedConfig, Storage], Source]

# Key below `source:` → the function that opens it. Modules are imported when they are needed:
# BigQuery's libraries take a second that a run over files never needs.
SOURCES: Final[Mapping[str, str]] = {
    "files": "reembed.sources.files:open_files",
    "manifest": "reembed.sources.manifest:open_manifest",
    "parquet": "reembed.sources.parquet:open_parquet",
    "bigquery": "reembed.bigquery.source:open_bigquery",
}


def open_source(loaded: LoadedConfig, storage: Storage) -> Source:
    """Open a configuration's source, and check everything that can be checked for free.

    Raises:
        UsageError: a place, a table or a column is not there; a pattern matches nothing; two
            inputs have one key.
    """
    kind = loaded.config.source.kind
    if kind not in SOURCES:
        raise UsageError(f"source.{kind} cannot be read by this version; give source.files")
    module, _, name = SOURCES[kind].partition(":")
    source = cast(Opener, getattr(import_module(module), name))(loaded, storage)
    columns = loaded.config.source.parquet or loaded.config.source.bigquery
    if columns is None or columns.text is not None:
        return source
    return UriRows(source, Resolver(str(loaded.base), https=loaded.config.source.https))
