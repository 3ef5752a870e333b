"""Open the destination that a configuration names."""

from __future__ import annotations

from collections.abc import Callable

from reembed.config.schema import Config
from reembed.core.table_names import parse_table
from reembed.destinations.base import Destination
from reembed.destinations.parquet import ParquetParts
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage


def open_destination(
    config: Config, storage: Storage, say: Callable[[str], None] = lambda _: None
) -> Destination:
    """The BigQuery table of a configuration, else the Parquet parts of its run directory.

    `say` is told what is about to cost money.

    Raises:
        UsageError: the table's name is none.
    """
    sink = config.sink.bigquery
    if sink is None:
        return ParquetParts(config, storage, Layout(config.run_dir))
    # Half a second of imports that a run without BigQuery never needs.
    from reembed.destinations.bigquery import BigQueryTable
    from reembed.warehouse.client import open_warehouse

    warehouse = open_warehouse(sink.project or parse_table(sink.table).project)
    return BigQueryTable(config, storage, warehouse, say)
