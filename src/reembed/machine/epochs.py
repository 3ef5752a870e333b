"""Claim epochs: possible senders, their age, job ownership."""

from __future__ import annotations

from reembed.core.names import input_file_name
from reembed.core.records import Created
from reembed.machine.rules import Found, Rules, SharedState
from reembed.machine.states import AttemptState, ShardState

# A look older than this (seconds) says nothing about right now.
FRESH = 5.0
# A scan older than this is taken again before an epoch is claimed above one that may have sent.
SCAN_LIFE = 3600.0
# A job is looked for while its claim is younger than the service's list by this: a claim may be
# made on a scan of an hour ago, and a job may be sent a few minutes after its claim's last sign.
LIST_MARGIN = 2 * SCAN_LIFE


def is_fresh(attempt: AttemptState, shared: SharedState) -> bool:
    """Whether what is known of an attempt's records is of right now."""
    looked_at = attempt.local.records_read_at
    return looked_at is not None and shared.now - looked_at <= FRESH


def may_have_sent(attempt: AttemptState) -> list[int]:
    """The epochs whose holders may have sent a job, lowest first: neither void nor sealed."""
    claims = sorted(attempt.claims.items())
    return [epoch for epoch, seen in claims if not seen.void and not seen.claim.sealed]


def is_unlisted(attempt: AttemptState, epoch: int, shared: SharedState, rules: Rules) -> bool:
    """Whether a job of this epoch may be too old for the service to list it.

    The age is that of the epoch's newest record at the last look, by the storage's clock. Where
    nobody has looked since this process claimed, it is as of that claim.
    """
    local = attempt.local
    since = local.records_read_at if local.records_read_at is not None else local.claimed_at
    age = attempt.claims[epoch].age + shared.now - since
    return age > rules.retention - rules.list_lag - LIST_MARGIN


def is_past_list(attempt: AttemptState, shared: SharedState, rules: Rules) -> bool:
    """Whether an epoch before ours may have sent a job that a scan cannot show.

    Only the newest claim counts, void or not: it was made on a scan that showed no job of those
    before it, so that what they may still have sent is about as young as that claim.
    """
    local = attempt.local
    ours = (
        attempt.epoch
        if local.epoch == attempt.epoch and local.create_unanswered_since is None
        else 0
    )
    if not any(epoch != ours for epoch in may_have_sent(attempt)):
        return False
    claims = attempt.claims.items()
    newest = max(epoch for epoch, seen in claims if epoch != ours and not seen.claim.sealed)
    return is_unlisted(attempt, newest, shared, rules)


def oldest(found: tuple[Found, ...]) -> Found:
    """The job that is kept when several bear one name."""
    return min(found, key=lambda job: (job.create_time, job.job))


def epoch_of(state: ShardState, attempt: AttemptState, job: Found, rules: Rules) -> int:
    """The epoch whose holder made a job: what that holder could not render was not sent.

    The input file's name tells. An inline job does not say: then it is ours if we sent one, else
    that of the newest holder before us.
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


def adopted(job: Found, epoch: int) -> Created:
    """The record of a job that a scan found, made in an epoch."""
    return Created(
        job=job.job,
        display_name=job.display_name,
        epoch=epoch,
        input_file=job.input_file,
        create_time=job.create_time,
        adopted=True,
    )
