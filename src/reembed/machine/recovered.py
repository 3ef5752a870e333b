"""Recovered jobs: recorded as failed, ended well later; collected instead of bought again.

An outcome is never rewritten. But the attempt that goes on from it can take the old job as its
own: its requests are among those of that job, so what was paid is collected in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reembed.core.names import parent_of
from reembed.core.records import NOT_SENT, Created
from reembed.machine.rules import ListedJob, SharedState
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import AttemptState, ShardState

ENDED_BADLY = frozenset({"FAILED", "EXPIRED", "CANCELLED"})
_SUCCEEDED = "SUCCEEDED"


def recovered_job(state: ShardState, attempt: str, shared: SharedState) -> Created | None:
    """Find a job above an attempt that ended well after all, as its own; None for none.

    Args:
        state: the shard.
        attempt: an attempt without a job.
        shared: with the jobs of the last listing.
    """
    above = _nearest_sent(state, attempt)
    if above is None or above.outcome is None:
        return None
    created = above.created
    # A job that was taken so once and read badly again is not taken a second time: a listing that
    # wavers would otherwise send the same attempt round for ever.
    if created is None or created.made_for or above.outcome.state not in ENDED_BADLY:
        return None
    listed = shared.listed_jobs.get((state.plan.shard, above.path), ())
    if not any(job.job == created.job and job.state == _SUCCEEDED for job in listed):
        return None
    return created.model_copy(update={"made_for": above.path, "adopted": True})


def _nearest_sent(state: ShardState, attempt: str) -> AttemptState | None:
    """Find the nearest attempt above that had a job; those split unsent are passed over.

    Nothing older counts: where the nearest was collected, or could not be trusted, an older answer
    would bring rows twice, or bring back what was just distrusted.
    """
    path = parent_of(attempt)
    while path:
        above = state.attempts.get(path)
        if above is None or above.outcome is None:
            return None
        if above.outcome.state != NOT_SENT:
            return above
        path = parent_of(path)
    return None


@dataclass(frozen=True, slots=True)
class UncollectedJob:
    """Job that ended well and serves no attempt; `recorded` is its state in the ledger."""

    shard: str
    attempt: str
    job: str
    recorded: str


def find_uncollected(
    jobs: Iterable[ListedJob], records: Mapping[str, ShardRecords]
) -> list[UncollectedJob]:
    """Find jobs that ended well too late: their requests were sent again, or are rejects.

    Args:
        jobs: the jobs of this run, as listed.
        records: of each shard.
    """
    found = []
    for job in jobs:
        known = records.get(job.shard)
        if known is None or job.state != _SUCCEEDED:
            continue
        created, outcome = known.created.get(job.attempt), known.outcomes.get(job.attempt)
        if created is None or outcome is None or created.job != job.job:
            continue
        # Told by the job, not by `made_for`: a roll-up keeps only the jobs.
        below = (c.job for path, c in known.created.items() if path != job.attempt)
        if outcome.state in ENDED_BADLY and job.job not in below:
            found.append(UncollectedJob(job.shard, job.attempt, job.job, outcome.state))
    return sorted(found, key=lambda late: (late.shard, late.attempt))
