"""Report duplicate jobs: several remote jobs of one display name.

The machine makes a second job of a shard as unlikely as it can, and not impossible (see
`docs/design/state-machine.md`). What cannot be excluded is found by comparing a listing of the
service with the ledger, and reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reembed.core.records import Created
from reembed.machine.rules import ListedJob


@dataclass(frozen=True, slots=True)
class DuplicateJob:
    """Job that serves no attempt: the ledger has `kept` under its name.

    `kept` is empty when the ledger knows no job of that attempt at all: a stray, which the next
    call adopts.
    """

    shard: str
    attempt: str
    job: str
    state: str
    done: bool
    kept: str


def find_duplicate_jobs(
    jobs: Iterable[ListedJob], created: Mapping[tuple[str, str], Created]
) -> list[DuplicateJob]:
    """Find jobs of this run that are not the one that the ledger keeps, in order of their names."""
    duplicates = []
    for job in jobs:
        known = created.get((job.shard, job.attempt))
        kept = known.job if known is not None else ""
        if job.job != kept:
            duplicates.append(
                DuplicateJob(job.shard, job.attempt, job.job, job.state, job.done, kept)
            )
    return sorted(duplicates, key=lambda found: (found.shard, found.attempt, found.job))


def foreign_fingerprints(
    jobs: Iterable[ListedJob], fingerprints: Mapping[str, str]
) -> list[ListedJob]:
    """Find jobs under our names whose content is another: the run must stop, not join them."""
    return [
        job
        for job in jobs
        if job.shard in fingerprints and not fingerprints[job.shard].startswith(job.fingerprint)
    ]
