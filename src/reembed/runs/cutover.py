"""Point a view at the new table, and back; each step is on record before it is done."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from reembed.bigquery.base import BigQuery, Table
from reembed.bigquery.names import TableName, parse_table
from reembed.bigquery.sql import view_sql
from reembed.config.schema import Config
from reembed.core.records import Cutover
from reembed.errors import AlreadyExistsError, BigQueryConflictError, RunFailedError, UsageError
from reembed.ledger.run_dir import RunDir
from reembed.runs.report import count_run


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a cut-over or a rollback came to; `already` says that there was nothing to do.

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
    """Point ``destination.bigquery.view`` at the table, and remember what it said.

    Raises:
        UsageError: no view is named, the run is not over, or the view is no view.
        RunFailedError: the counts do not close, or somebody changed the view.
    """
    view, table = _names(config)
    run = _finished_run(config, run_dir)
    if bigquery.table(table) is None:
        raise UsageError(f"{table} is not there; `reembed run` makes it")
    found, last = _view(bigquery, view), _last(run_dir, view)
    wanted, says = view_sql(table), found.view_sql if found is not None else ""
    if says == wanted:
        before = last.before if last is not None and last.after == wanted else wanted
        return ViewChange("cutover", str(view), before, wanted, _words(view, wanted), run, True)
    _require_known(view, says, last)
    if last is None or (last.before, last.after) != (says, wanted):
        record = Cutover(kind="cutover", view=str(view), before=says, after=wanted, run=run)
        _write(run_dir, record)
    _set(bigquery, view, wanted, found)
    return ViewChange("cutover", str(view), says, wanted, _words(view, wanted), run)


def roll_back(config: Config, run_dir: RunDir, bigquery: BigQuery) -> ViewChange:
    """Let ``destination.bigquery.view`` say again what it said before the last cut-over.

    Raises:
        UsageError: no view is named, or nothing was cut over.
        RunFailedError: somebody changed the view.
    """
    view, _ = _names(config)
    last = _last(run_dir, view)
    if last is None:
        raise UsageError(f"{view} was never cut over from {run_dir.path}; nothing to roll back")
    found, record = _view(bigquery, view), last
    says = found.view_sql if found is not None else ""
    target = record.before if record.kind == "cutover" else record.after
    words = _words(view, target)
    change = ViewChange("rollback", str(view), says, target, words, record.run, says == target)
    if change.already:
        return change
    _require_known(view, says, last)
    if record.kind == "cutover":
        undone = Cutover(kind="rollback", view=str(view), before=says, after=target, run=record.run)
        _write(run_dir, undone)
    if target:
        _set(bigquery, view, target, found)
    else:
        bigquery.delete_table(view)
    return change


def _names(config: Config) -> tuple[TableName, TableName]:
    options = config.destination.bigquery
    if options is None or options.view is None:
        raise UsageError("destination.bigquery.view is not given; name the view that readers use")
    return parse_table(options.view), parse_table(options.table)


def _finished_run(config: Config, run_dir: RunDir) -> str:
    """The run that a view may be pointed at: settled, handed over, its counts closed."""
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
        raise UsageError(f"run {commit.run} is not in {table} yet; `reembed run` hands it over")
    plan = run_dir.read_plan(commit.plan)
    counts = count_run(run_dir, commit, plan.plan_totals().skipped)
    if not counts.closes:
        raise RunFailedError(
            f"the counts of run {commit.run} do not close: planned {counts.planned:,} is not rows "
            f"{counts.rows:,} + rejects {counts.rejects:,} + skipped {counts.skipped:,}; the view "
            "stays as it is"
        )
    return commit.run


def _view(bigquery: BigQuery, view: TableName) -> Table | None:
    found = bigquery.table(view)
    if found is not None and found.kind != "VIEW":
        raise UsageError(f"destination.bigquery.view: {view} is a {found.kind}; name a view")
    return found


def _last(run_dir: RunDir, view: TableName) -> Cutover | None:
    """The newest record of a view; records of all views are numbered together."""
    for uri in reversed(_records(run_dir)):
        record = Cutover.decode(run_dir.storage.read(uri), uri)
        if record.view == str(view):
            return record
    return None


def _records(run_dir: RunDir) -> list[str]:
    """All records, oldest first; a file that is none, such as an editor's copy, is left out."""
    prefix = run_dir.layout.cutovers()
    names = [stat.uri for stat in run_dir.storage.list(prefix)]
    return [name for name in names if re.fullmatch(r"[0-9]{4}", name.removeprefix(prefix))]


def _require_known(view: TableName, says: str, last: Cutover | None) -> None:
    """Refuse a view that says neither what the last step left nor what it found."""
    if last is None or says in (last.before, last.after):
        return
    now = f"says now: {says}" if says else "is gone"
    raise RunFailedError(
        f"{view} was changed by somebody else since the last {last.kind}: it {now}; it was "
        f"left saying: {last.after or '(no view)'}. Put that back by hand, or leave it as it is"
    )


def _write(run_dir: RunDir, record: Cutover) -> None:
    newest = _records(run_dir)[-1:]
    number = int(newest[0].removeprefix(run_dir.layout.cutovers())) + 1 if newest else 1
    try:
        run_dir.storage.create(run_dir.layout.cutover(number), record.encode())
    except AlreadyExistsError as err:
        raise RunFailedError(
            f"another call changes {record.view} at this moment; look at it, then try again"
        ) from err


def _set(bigquery: BigQuery, view: TableName, sql: str, found: Table | None) -> None:
    try:
        bigquery.set_view(view, sql, found.etag if found is not None else None)
    except BigQueryConflictError as err:
        now = bigquery.table(view)
        raise RunFailedError(
            f"{view} was changed by somebody else at this moment ({err}); it says now: "
            f"{now.view_sql if now is not None else '(no view)'}"
        ) from err


def _words(view: TableName, sql: str) -> str:
    if not sql:
        return f"DROP VIEW {view.sql}"
    return f"CREATE OR REPLACE VIEW {view.sql} AS\n{sql}"
