"""Open the destination that a configuration names."""

from __future__ import annotations

from reembed.config.schema import Config
from reembed.destinations.base import Destination
from reembed.destinations.parquet import ParquetParts
from reembed.errors import UsageError
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage


def open_destination(config: Config, storage: Storage) -> Destination:
    """The BigQuery table of a configuration, else the Parquet parts of its run directory."""
    if config.sink.bigquery is not None:
        raise UsageError("sink.bigquery cannot be written by this version; leave it out")
    return ParquetParts(config, storage, Layout(config.run_dir))
