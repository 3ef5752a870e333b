"""`reembed status`: where a run stands, read from its ledger alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from reembed.cli.screen import console, print_json
from reembed.errors import UsageError
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.loading import load_from
from reembed.runs.status import RunStatus, read_status

_EVERY = 5.0


def status_command(
    path: str, overrides: Sequence[str], run_dir: str | None, watch: bool, as_json: bool
) -> int:
    """Print where a run stands; 0 settled, 75 not settled."""
    loaded = load_from(path, overrides, run_dir)
    folder = open_run_dir(loaded.config.run_dir)
    while True:
        found = read_status(folder)
        if found is None:
            raise UsageError(f"nothing was committed in {folder.path}; `reembed run` begins")
        if as_json:
            print_json(found.as_json())
        else:
            _show(found)
        if not watch or found.state == "settled":
            return 0 if found.state == "settled" else 75
        time.sleep(_EVERY)


def _show(found: RunStatus) -> None:
    out = console()
    out.print(f"run {found.run} ({found.name}): {found.state}", style="bold")
    states = ", ".join(f"{count:,} {state}" for state, count in found.shards.items())
    out.print(f"  shards: {states}")
    out.print(
        f"  chunks: {found.planned:,} planned, {found.rows:,} rows, {found.rejects:,} rejects"
    )
    out.print(f"  reserved: ${found.usd_reserved:,.6f}")
    if found.pending_requests:
        out.print(f"  waiting in jobs: {found.pending_requests:,} requests")
