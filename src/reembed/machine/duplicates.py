"""Report duplicate jobs: several remote jobs of one display name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reembed.core.records import Created


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote job of this run, as a listing showed it."""

    shard: str
    attempt: str
    job: str
    state: str
    done: bool
    create_time: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class DuplicateJob:
    """A job that serves no attempt: the ledger keeps `kept` for its name.

    `kept` is empty when the ledger knows no job of that attempt at all: a stray, which the next
    call adopts.
    """

    shard: str
    attempt: str
    job: str
    state: str
    done: bool
    kept: str


def remote_of(
    run: str, job: str, display_name: str, state: str, done: bool, create_time: str
) -> Remote | None:
    """Take a display name apart; None when the job is not of this run."""
    parts = display_name.split("/")
    if len(parts) != 4 or parts[0] != run:
        return None
    return Remote(parts[1], parts[2], job, state, done, create_time, parts[3])


def find_duplicate_jobs(
    remotes: Iterable[Remote], created: Mapping[tuple[str, str], Created]
) -> list[DuplicateJob]:
    """Jobs of this run that are not the one that the ledger keeps, in order of their names."""
    twins = []
    for remote in remotes:
        known = created.get((remote.shard, remote.attempt))
        kept = known.job if known is not None else ""
        if remote.job != kept:
            twins.append(
                DuplicateJob(
                    remote.shard, remote.attempt, remote.job, remote.state, remote.done, kept
                )
            )
    return sorted(twins, key=lambda twin: (twin.shard, twin.attempt, twin.job))


def foreign_fingerprints(
    remotes: Iterable[Remote], fingerprints: Mapping[str, str]
) -> list[Remote]:
    """Jobs under our names whose content is another: the run must stop, not join them."""
    return [
        remote
        for remote in remotes
        if remote.shard in fingerprints
        and not fingerprints[remote.shard].startswith(remote.fingerprint)
    ]
