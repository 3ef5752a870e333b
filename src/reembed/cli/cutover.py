"""`reembed cutover` and `reembed rollback`: point a view at the new table, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from reembed.bigquery.client import open_bigquery_client
from reembed.bigquery.names import parse_table
from reembed.cli.screen import console, print_json
from reembed.errors import UsageError
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.cutover import ViewChange, cut_over, roll_back
from reembed.runs.loading import load_from


def cutover_command(
    path: str, overrides: Sequence[str], run_dir: str | None, back: bool, as_json: bool
) -> int:
    """Set the view, and print the statement that would have done it."""
    config = load_from(path, overrides, run_dir).config
    destination = config.destination.bigquery
    if destination is None:
        raise UsageError("destination.bigquery is not given; only a table can be cut over to")
    bigquery = open_bigquery_client(destination.project or parse_table(destination.table).project)
    change = (roll_back if back else cut_over)(config, open_run_dir(config.run_dir), bigquery)
    if as_json:
        print_json({"schema": 1, **asdict(change)})
    else:
        _show(change)
    return 0


def _show(change: ViewChange) -> None:
    out = console()
    if change.already:
        out.print(f"{change.view} says so already; nothing was changed.", markup=False)
    out.print(change.statement, markup=False, soft_wrap=True)
    if change.kind == "cutover" and not change.already:
        before = change.before or "(there was no view)"
        out.print(f"Before: {before}\n`reembed rollback` puts it back.", markup=False)
