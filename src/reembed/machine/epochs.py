"""Claim epochs: possible senders, their age, job ownership.

Every process that wants to create an attempt's job claims its next epoch first. Whoever takes an
attempt over must know which lower epochs may have sent a job, whether such a job would still be
listed, and whose a job is that the listing shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from reembed.core.names import input_file_name
from reembed.core.records import Created
from reembed.machine.rules import ListedJob, Rules, SharedState
from reembed.machine.states import AttemptState, ShardState

# Records read longer ago than this (seconds) prove nothing about right now.
MAX_RECORD_AGE = 5.0
# A listing older than this is taken again before an epoch is claimed above one that may have sent.
JOB_LIST_MAX_AGE = 3600.0
# A job is looked for while its claim is younger than the service's list by this: a claim may be
# made on a listing of an hour ago, and a job may be sent a few minutes after its claim's last
# renewal.
JOB_LIST_MARGIN = 2 * JOB_LIST_MAX_AGE


def is_fresh(attempt: AttemptState, shared: SharedState) -> bool:
    """Tell whether what is known of an attempt's records is of right now."""
    read_at = attempt.local.records_read_at
    return read_at is not None and shared.now - read_at <= MAX_RECORD_AGE


def is_stale_at_send(attempt: AttemptState, now: float) -> bool:
    """Tell whether so long has passed since the records were read that the create must not be sent.

    The driver asks right before the request leaves: a process that was held up after the decision
    (a pool without a free thread, a machine that slept) would send on what was true long ago.
    Twice the age, so that an ordinary delay between decision and send does not read again for ever.
    """
    read_at = attempt.local.records_read_at
    return read_at is None or now - read_at > 2 * MAX_RECORD_AGE


def may_have_sent(attempt: AttemptState) -> list[int]:
    """Find the epochs whose holders may have sent a job, lowest first: neither void nor sealed."""
    claims = sorted(attempt.claims.items())
    return [epoch for epoch, seen in claims if not seen.void and not seen.claim.sealed]


def may_be_unlisted(attempt: AttemptState, epoch: int, shared: SharedState, rules: Rules) -> bool:
    """Tell whether a job of this epoch may be too old for the service to list it.

    The age is that of the epoch's newest record when the records were last read, by the storage's
    clock. Where they were not read since this process claimed, it is as of that claim.
    """
    local = attempt.local
    since = local.records_read_at if local.records_read_at is not None else local.claimed_at
    age = attempt.claims[epoch].age + shared.now - since
    return age > rules.job_list_retention - rules.list_lag - JOB_LIST_MARGIN


def is_beyond_job_list(attempt: AttemptState, shared: SharedState, rules: Rules) -> bool:
    """Tell whether an epoch before ours may have sent a job that a listing cannot show.

    Only the newest claim counts, void or not: it was made on a listing that showed no job of those
    before it, so what they may still have sent is about as young as that claim. Asking the oldest
    claim instead would stop every attempt that took some days of retries.
    """
    local = attempt.local
    owns_top = local.epoch == attempt.epoch and local.create_unanswered_since is None
    ours = attempt.epoch if owns_top else 0
    if not any(epoch != ours for epoch in may_have_sent(attempt)):
        return False
    claims = attempt.claims.items()
    newest = max(epoch for epoch, seen in claims if epoch != ours and not seen.claim.sealed)
    return may_be_unlisted(attempt, newest, shared, rules)


def oldest_job(jobs: Sequence[ListedJob]) -> ListedJob:
    """Return the job that is kept when several bear one name: every runner chooses the same."""
    return min(jobs, key=lambda job: (job.create_time, job.job))


def epoch_of_job(state: ShardState, attempt: AttemptState, job: ListedJob, rules: Rules) -> int:
    """Return the epoch whose holder made a job: what that holder could not render was not sent.

    The input file's name shows it. An inline job names none: then it is ours if we sent one, else
    that of the newest holder before us. Attributing it to a wrong epoch would read the wrong list
    of requests that were not sent, and take their missing answers for lost keys.
    """
    prefix = rules.capabilities.input_prefix
    for epoch in attempt.claims:
        name = input_file_name(prefix, rules.run, state.plan.shard, attempt.path, epoch)
        if job.input_file == name:
            return epoch
    local = attempt.local
    unsent = attempt.epoch if local.epoch and local.create_unanswered_since is None else 0
    made = [e for e in may_have_sent(attempt) if e != unsent]
    return max(made, default=attempt.epoch)


def adoption_record(job: ListedJob, epoch: int) -> Created:
    """Return the record of a job that a listing showed, made in an epoch."""
    return Created(
        job=job.job,
        display_name=job.display_name,
        epoch=epoch,
        input_file=job.input_file,
        create_time=job.create_time,
        adopted=True,
    )
