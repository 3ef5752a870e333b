"""Open the destination that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from reembed.config.schema import Config
from reembed.destinations.base import Destination
from reembed.ledger.run_dir import RunDir

Opener = Callable[[Config, RunDir, Callable[[str], None]], Destination]

# Kind of destination → the function that opens it. Modules are imported when they are needed:
# BigQuery's libraries take half a second that a run without it never needs.
DESTINATIONS: Final[Mapping[str, str]] = {
    "parquet": "reembed.destinations.parquet:open_parquet_parts",
    "bigquery": "reembed.bigquery.destination:open_bigquery_table",
}


def open_destination(
    config: Config, run_dir: RunDir, say: Callable[[str], None] = lambda _: None
) -> Destination:
    """Open the BigQuery table of a configuration, else the Parquet parts of its run directory.

    `say` is called with what is about to cost money.

    Raises:
        UsageError: the table's name is malformed.
    """
    kind = "bigquery" if config.destination.bigquery is not None else "parquet"
    module, _, name = DESTINATIONS[kind].partition(":")
    return cast(Opener, getattr(import_module(module), name))(config, run_dir, say)
