"""`reembed cutover` and `reembed rollback`: point a view at the new table, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from reembed.bigquery.destination import client_of
from reembed.cli.screen import console, print_json
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.cutover import ViewChange, cut_over, roll_back
from reembed.runs.loading import load_from


def cutover_command(
    path: str, overrides: Sequence[str], run_dir: str | None, back: bool, as_json: bool
) -> int:
    """Change the view, and print the statement that has the same effect."""
    config = load_from(path, overrides, run_dir).config
    change_view = roll_back if back else cut_over
    change = change_view(config, open_run_dir(config.run_dir), client_of(config))
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
