"""`cutover` and `rollback`: point a view at the new table, and back.

Each step is on record in the ledger before it is done. So after a crash between the two the next
call knows what the view said before, and a view that says neither what a record found nor what it
left was changed by somebody else, and is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from reembed.bigquery.base import BigQuery
from reembed.bigquery.names import TableName, parse_table
from reembed.bigquery.sql import view_sql
from reembed.bigquery.views import find_view, point_view, view_statement
from reembed.config.schema import Config
from reembed.core.records import Cutover
from reembed.errors import AlreadyExistsError, RunFailedError, UsageError
from reembed.ledger.run_dir import RunDir
from reembed.runs.report import count_run


@dataclass(frozen=True, slots=True)
class ViewChange:
    """Result of a cutover or a rollback; `already` says that there was nothing to do.

    An empty `before` means that there was no view, an empty `after` that it was removed.
    """

    kind: Literal["cutover", "rollback"]
    view: str
    before: str
    after: str
    statement: str
    run: str
    already: bool = False


def cut_over(config: Config, run_dir: RunDir, bigquery: BigQuery) -> ViewChange:
    """Point ``destination.bigquery.view`` at the table, and record what it said before.

    Raises:
        UsageError: no view is configured, the run is not published, or the name is not a view's.
        RunFailedError: the counts do not close, or somebody changed the view.
    """
    view, table = _names(config)
    run = _published_run(config, run_dir)
    if bigquery.table(table) is None:
        raise UsageError(f"{table} is not there; `reembed run` makes it")
    found, last = find_view(bigquery, view), _last_record(run_dir, view)
    new, current = view_sql(table), found.view_sql if found is not None else ""
    statement = view_statement(view, new)
    if current == new:
        before = last.before if last is not None and last.after == new else new
        return ViewChange("cutover", str(view), before, new, statement, run, already=True)
    _check_unchanged(view, current, last)
    # A record of this very step is there already where a call died before it set the view.
    if last is None or (last.before, last.after) != (current, new):
        record = Cutover(kind="cutover", view=str(view), before=current, after=new, run=run)
        _write_record(run_dir, record)
    point_view(bigquery, view, new, found)
    return ViewChange("cutover", str(view), current, new, statement, run)


def roll_back(config: Config, run_dir: RunDir, bigquery: BigQuery) -> ViewChange:
    """Make ``destination.bigquery.view`` say what it said before the last cutover.

    Raises:
        UsageError: no view is configured, or nothing was cut over.
        RunFailedError: somebody changed the view.
    """
    view, _ = _names(config)
    run_dir.check_version()
    last = _last_record(run_dir, view)
    if last is None:
        raise UsageError(f"{view} was never cut over from {run_dir.path}; nothing to roll back")
    found = find_view(bigquery, view)
    current = found.view_sql if found is not None else ""
    old = last.before if last.kind == "cutover" else last.after
    statement = view_statement(view, old)
    change = ViewChange("rollback", str(view), current, old, statement, last.run, current == old)
    if change.already:
        return change
    _check_unchanged(view, current, last)
    if last.kind == "cutover":
        record = Cutover(kind="rollback", view=str(view), before=current, after=old, run=last.run)
        _write_record(run_dir, record)
    point_view(bigquery, view, old, found)
    return change


def _names(config: Config) -> tuple[TableName, TableName]:
    options = config.destination.bigquery
    if options is None or options.view is None:
        raise UsageError("destination.bigquery.view is not given; name the view that readers use")
    return parse_table(options.view), parse_table(options.table)


def _published_run(config: Config, run_dir: RunDir) -> str:
    """Return the run to point a view at: settled, published, its counts closed."""
    newest = run_dir.newest_commit()
    if newest is None:
        raise UsageError(f"nothing was committed in {run_dir.path}; `reembed run` begins")
    commit = newest.commit
    _, table = _names(config)
    if commit.frozen["destination"].get("bigquery") != str(table):
        raise UsageError(
            f"run {commit.run} went to {commit.frozen['destination'].get('bigquery')}, not to "
            f"{table}; `reembed run` fills it first"
        )
    if not newest.settled:
        raise UsageError(f"run {commit.run} is not settled; `reembed run` goes on with it")
    if not run_dir.is_published(newest):
        raise UsageError(f"run {commit.run} is not in {table} yet; `reembed run` publishes it")
    plan = run_dir.read_plan(commit.plan)
    counts = count_run(run_dir, commit, plan.plan_totals().skipped)
    if not counts.closes:
        raise RunFailedError(
            f"the counts of run {commit.run} do not close: planned {counts.planned:,} is not rows "
            f"{counts.rows:,} + rejects {counts.rejects:,} + skipped {counts.skipped:,}; the view "
            "stays as it is"
        )
    return commit.run


def _last_record(run_dir: RunDir, view: TableName) -> Cutover | None:
    """Read the newest record of a view; records of all views are numbered together."""
    for uri in reversed(_records(run_dir)):
        record = Cutover.decode(run_dir.storage.read(uri), uri)
        if record.view == str(view):
            return record
    return None


def _records(run_dir: RunDir) -> list[str]:
    """List all records, oldest first, without other files such as an editor's copy."""
    prefix = run_dir.layout.cutovers()
    names = [stat.uri for stat in run_dir.storage.list(prefix)]
    return [name for name in names if re.fullmatch(r"[0-9]{4}", name.removeprefix(prefix))]


def _check_unchanged(view: TableName, current: str, last: Cutover | None) -> None:
    """Refuse a view that says neither what the last step left nor what it found."""
    if last is None or current in (last.before, last.after):
        return
    now = f"it says now: {current}" if current else "it was removed"
    raise RunFailedError(
        f"{view} was changed by somebody else since the last {last.kind}: {now}; it was "
        f"left saying: {last.after or '(no view)'}. Put that back by hand, or leave it as it is"
    )


def _write_record(run_dir: RunDir, record: Cutover) -> None:
    newest = _records(run_dir)[-1:]
    number = int(newest[0].removeprefix(run_dir.layout.cutovers())) + 1 if newest else 1
    try:
        run_dir.storage.create(run_dir.layout.cutover(number), record.encode())
    except AlreadyExistsError as err:
        raise RunFailedError(
            f"another call is changing {record.view} at this moment; wait for it, then try again"
        ) from err
