"""Table of destinations, and opening the one that a configuration names."""

from __future__ import annotations

from typing import Final

from reembed.config.schema import Config
from reembed.destinations.base import Destination, DestinationKind, Report
from reembed.ledger.run_dir import RunDir
from reembed.registry import Table, load_extensions

# Kind of destination → its entry. Modules are imported when they are needed: BigQuery's libraries
# take half a second that a run without it never needs.
DESTINATIONS: Final = Table[DestinationKind](
    "reembed.destinations",
    {
        "parquet": "reembed.destinations.parquet:PARQUET",
        "bigquery": "reembed.bigquery.destination:BIGQUERY",
    },
)


def open_destination(
    config: Config, run_dir: RunDir, report: Report = lambda _: None
) -> Destination:
    """Open the destination of a configuration; Parquet parts of its run directory by default.

    Args:
        config: names it.
        run_dir: where the rows of its runs lie.
        report: called with a sentence about what is about to cost money.

    Raises:
        UsageError: its section cannot be right, for instance a malformed name of a table.
    """
    load_extensions(config.extensions)
    return DESTINATIONS.get(config.destination.kind).open(config, run_dir, report)
