"""Compare the remote jobs with the ledger, and report duplicate and uncollected ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reembed.core.names import is_shard, partitions_of
from reembed.core.plans import ShardPlan
from reembed.core.records import Commit, Created
from reembed.driver.shared_state import listed_jobs
from reembed.errors import RefusedError, RemoteNotFoundError, RunFailedError, ServiceError
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir
from reembed.machine.duplicates import DuplicateJob, find_duplicate_jobs, foreign_fingerprints
from reembed.machine.recovered import UncollectedJob, find_uncollected
from reembed.machine.snapshot import ShardRecords
from reembed.providers.base import BatchService


@dataclass(frozen=True, slots=True)
class Audit:
    """Differences between the service's list of jobs and the ledger.

    `duplicate_jobs` serve no attempt. `uncollected_jobs` ended well after the ledger had recorded
    them as failed, and after their requests were sent again or became rejects.
    """

    duplicate_jobs: tuple[DuplicateJob, ...] = ()
    uncollected_jobs: tuple[UncollectedJob, ...] = ()
    unchecked: str = ""

    def as_json(self) -> dict[str, Any]:
        """Entries of the report."""
        return {
            "duplicate_jobs": [asdict(job) for job in self.duplicate_jobs],
            "uncollected_jobs": [asdict(job) for job in self.uncollected_jobs],
            "unchecked": self.unchecked,
        }


def audit_jobs(run_dir: RunDir, commit: Commit, service: BatchService) -> Audit:
    """List the remote jobs once; report duplicate jobs, and cancel those that still run.

    A job that the ledger does not know at all is a stray: the next call adopts it, or, after the
    shard is settled, it stays reported. Only shards of which the service lists a job are read.

    Raises:
        RunFailedError: a job bears our name and other content.
    """
    try:
        remotes = listed_jobs(commit.run, service.list_jobs())
    except ServiceError as err:
        return Audit(unchecked=f"the remote jobs could not be listed: {err}")
    plans = _plans_of(run_dir, commit.plan, {remote.shard for remote in remotes})
    foreign = foreign_fingerprints(remotes, {s: plan.fingerprint for s, plan in plans.items()})
    if foreign:
        raise RunFailedError(
            f"the job {foreign[0].job} bears the name of shard {foreign[0].shard} and other "
            "content; this run directory and that job do not belong together"
        )
    ledger = Ledger(run_dir, commit.number, "audit")
    records = dict(ledger.load(plans))
    duplicate_jobs = find_duplicate_jobs(remotes, _created(records))
    for duplicate in duplicate_jobs:
        if not duplicate.done and duplicate.kept:
            _cancel(service, duplicate.job)
    return Audit(tuple(duplicate_jobs), tuple(find_uncollected(remotes, records)))


def _plans_of(run_dir: RunDir, plan: str, shards: Collection[str]) -> dict[str, ShardPlan]:
    """Read the plans of shards that jobs name; a name that the plan does not have is left out."""
    there = {stat.uri for stat in run_dir.storage.list(run_dir.layout.partitions(plan))}
    named = partitions_of(shard for shard in shards if is_shard(shard))
    partitions = [
        partition for partition in named if run_dir.layout.partition(plan, int(partition)) in there
    ]
    found = run_dir.shards(plan, partitions)
    return {each.shard: each for each in found if each.shard in shards}


def _created(records: Mapping[str, ShardRecords]) -> dict[tuple[str, str], Created]:
    return {
        (shard, attempt): created
        for shard, known in records.items()
        for attempt, created in known.created.items()
    }


def _cancel(service: BatchService, job: str) -> None:
    try:
        service.cancel(job)
    except (RefusedError, RemoteNotFoundError):
        return  # ended, or gone
