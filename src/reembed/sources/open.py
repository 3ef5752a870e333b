"""Table of sources, and opening the one that a configuration names."""

from __future__ import annotations

from typing import Final

from reembed.config.load import ResolvedConfig
from reembed.errors import UsageError
from reembed.registry import Table, load_extensions
from reembed.sources.base import Source, SourceKind
from reembed.storage.base import Storage

# Key below `source:` → its kind. Modules are imported when they are needed: BigQuery's libraries
# take a second that a run over files never needs.
SOURCES: Final = Table[SourceKind](
    "reembed.sources",
    {
        "files": "reembed.sources.files:FILES",
        "manifest": "reembed.sources.manifest:MANIFEST",
        "parquet": "reembed.sources.parquet:PARQUET",
        "bigquery": "reembed.bigquery.source:BIGQUERY",
    },
)


def open_source(loaded: ResolvedConfig, storage: Storage) -> Source:
    """Open a configuration's source, and check everything that can be checked for free.

    Raises:
        UsageError: a file, a table or a column is not there; a pattern matches nothing; two
            inputs have one key.
    """
    config = loaded.config
    load_extensions(config.extensions)
    name = config.source.kind
    kind = SOURCES.get(name)
    if config.source.sample is not None and not kind.samples:
        raise UsageError(f"source.sample: source.{name} takes no sample; leave source.sample out")
    return kind.open(loaded, storage)
