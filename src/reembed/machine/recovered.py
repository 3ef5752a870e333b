"""Jobs recorded as failed that ended well later: collected, not bought again.

An outcome is never rewritten. But the attempt that goes on from it can take the old job as its
own: its requests are among those that the job holds, so what was paid is collected in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reembed.core.names import parent_of
from reembed.core.records import NOT_SENT, Created
from reembed.machine.duplicates import Remote
from reembed.machine.rules import SharedState
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import ShardState

ENDED_BADLY = frozenset({"FAILED", "EXPIRED", "CANCELLED"})
_WELL = "SUCCEEDED"


def recovered_job(state: ShardState, attempt: str, shared: SharedState) -> Created | None:
    """The job above an attempt that ended well after all, as this attempt's own; None for none.

    The nearest job above counts: where it was collected, or could not be trusted, nothing older
    is better. A job that was taken so once and read badly again is not taken a second time.

    Args:
        state: the shard.
        attempt: an attempt without a job.
        shared: with what the last listing showed.
    """
    path = parent_of(attempt)
    while path:
        above = state.attempts.get(path)
        if above is None or above.outcome is None:
            return None
        if above.outcome.state != NOT_SENT:
            break
        path = parent_of(path)
    else:
        return None
    created = above.created
    if created is None or created.made_for or above.outcome.state not in ENDED_BADLY:
        return None
    listed = shared.listed_jobs.get((state.plan.shard, path), ())
    if not any(job.job == created.job and job.state == _WELL for job in listed):
        return None
    return created.model_copy(update={"made_for": path, "adopted": True})


@dataclass(frozen=True, slots=True)
class UncollectedJob:
    """A job that ended well although the ledger holds `held` for it, and that serves no attempt."""

    shard: str
    attempt: str
    job: str
    held: str


def find_uncollected(
    remotes: Iterable[Remote], records: Mapping[str, ShardRecords]
) -> list[UncollectedJob]:
    """Jobs that came well too late: their requests were sent again, or are rejects.

    Args:
        remotes: the jobs of this run, as listed.
        records: of each shard.
    """
    found = []
    for remote in remotes:
        known = records.get(remote.shard)
        if known is None or remote.state != _WELL:
            continue
        created, outcome = known.created.get(remote.attempt), known.outcomes.get(remote.attempt)
        if created is None or outcome is None or created.job != remote.job:
            continue
        # Told by the job, not by `made_for`: a roll-up keeps only the jobs.
        below = (c.job for path, c in known.created.items() if path != remote.attempt)
        taken = remote.job in below
        if outcome.state in ENDED_BADLY and not taken:
            found.append(UncollectedJob(remote.shard, remote.attempt, remote.job, outcome.state))
    return sorted(found, key=lambda late: (late.shard, late.attempt))
