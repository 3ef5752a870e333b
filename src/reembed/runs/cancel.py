"""Cancel a run: buy no more, ask remote jobs to end, keep what has finished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reembed.core.records import Commit
from reembed.errors import RefusedError, RemoteNotFoundError, UsageError
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir
from reembed.providers.base import BatchService


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Result of a cancel: jobs asked to end, and jobs that had ended already."""

    asked: int
    ended: int


def open_commit(run_dir: RunDir) -> Commit:
    """Read the newest commit, which must not be settled.

    Raises:
        UsageError: nothing was committed, or the run is settled.
    """
    newest = run_dir.newest_commit()
    if newest is None:
        raise UsageError(f"nothing was committed in {run_dir.path}; there is nothing to stop")
    if newest.settled:
        raise UsageError(f"the run in {run_dir.path} is settled; there is nothing to stop")
    return newest.commit


def write_stop(run_dir: RunDir, lift: bool) -> Commit:
    """Write the stop record, before anything else, or lift the stop that stands."""
    commit = open_commit(run_dir)
    ledger = Ledger(run_dir, commit.number, "cancel")
    if ledger.stopped() == lift:
        ledger.stop("lift" if lift else "stop", "the user said so")
    return commit


def cancel_jobs(run_dir: RunDir, commit: Commit, service: BatchService) -> Cancelled:
    """Ask every job of the run that has no outcome yet to end."""
    asked = ended = 0
    for job in _open_jobs(run_dir, commit):
        try:
            found = service.get(job)
            if not found.display_name.startswith(f"{commit.run}/"):
                continue  # a record was changed: no job but ours is cancelled
            if found.done:
                ended += 1
                continue
            service.cancel(job)
            asked += 1
        except (RefusedError, RemoteNotFoundError):
            ended += 1
    return Cancelled(asked, ended)


def _open_jobs(run_dir: RunDir, commit: Commit) -> Iterator[str]:
    ledger = Ledger(run_dir, commit.number, "cancel")
    shards = (plan.shard for plan in run_dir.shards(commit.plan))
    for _, records in ledger.load(shards):
        for attempt, created in sorted(records.created.items()):
            if attempt not in records.outcomes:
                yield created.job
