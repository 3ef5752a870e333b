"""Scheduling: which shards of a lane may go on now, and which are due later.

`decide` sees one shard. These rules see what its lane does beside it: how many shards send at a
time, when one round is over, what is still done after an interruption.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from reembed.machine import actions as act
from reembed.machine.states import AttemptState, ShardState

# Shards of a lane between claim and job at a time: each holds a lease, room in the budget, and a
# file on disk. More would let leases run out while uploads queue.
MAX_SENDING = 4
# Shards that seek admission at a time, in input order: a run has many times more, and each that
# seeks it is decided again every few seconds. Enough to find one that fits what the others leave.
MAX_SEEKING = 64
# How long one round (`submit`, `advance`) still waits for something, in seconds.
ROUND_PATIENCE = 1.0
# A lease is renewed after a third of it: two renewals may fail before it runs out.
RENEWALS_PER_LEASE = 3
# Growth of the interval between two polls of a job.
POLL_GROWTH = 1.5
# Tries to delete an input file before it is left to expire.
DELETE_TRIES = 3
LONGEST_RETRY_DELAY = 300.0

# Actions that only ask how things stand: a shard that does nothing else is idle.
_ASKING = (act.ReloadRecords, act.RefreshReservations, act.ListJobs, act.Poll)
# Actions that are still done after an interruption: quick, and they spare the next call a wait.
_TAKING_BACK = (
    act.DeleteInput,
    act.Release,
    act.ReleaseClaim,
    act.RecordCreated,
    act.RecordOutcome,
)


def start_of(
    shard: str,
    settled: bool,
    known: Collection[str],
    reserved: Collection[str],
    listed: Collection[str],
) -> Literal["begin", "settled", "later"]:
    """Decide how a lane starts with a shard.

    Args:
        shard: its name.
        settled: whether the ledger has it settled.
        known: shards that the ledger has records of.
        reserved: shards for which something is reserved.
        listed: shards of which the service lists a job.

    Returns:
        ``begin`` where somebody has begun it: its claims age and its jobs run, so it must not wait
        behind thousands that nobody has begun. Settled ones begin too while something is reserved
        for them, in order to give it back.
    """
    if settled:
        return "begin" if shard in reserved else "settled"
    return "begin" if shard in known or shard in reserved or shard in listed else "later"


def is_sending(attempt: AttemptState) -> bool:
    """Tell whether this process holds the claim of an attempt that has not been sent yet."""
    local = attempt.local
    holds = local.epoch > 0 and local.epoch == attempt.epoch and not attempt.sealed
    unsent = local.create_unanswered_since is None and attempt.created is None
    return holds and unsent and attempt.outcome is None and local.pending_outcome is None


def is_sealed(attempt: AttemptState) -> bool:
    """Tell whether an attempt is sealed and has not ended yet."""
    return bool(attempt.sealed) and attempt.created is None and attempt.outcome is None


def shard_is_sending(state: ShardState) -> bool:
    """Tell whether this process holds the claim of an unsent attempt of a shard."""
    return any(is_sending(attempt) for attempt in state.attempts.values())


def is_unsent(state: ShardState) -> bool:
    """Tell whether some attempt of a shard has no job yet; where it waits, it waits for room."""
    return any(a.created is None and a.outcome is None for a in state.attempts.values())


def has_begun(state: ShardState) -> bool:
    """Tell whether a shard has a claim or a job, and so seeks admission no longer."""
    return any(a.epoch or a.created for a in state.attempts.values())


def may_set_out(action: act.Action, shard: str, sending: Collection[str]) -> bool:
    """Tell whether an action may be done now, beside the shards on their way to a job.

    Only a claim that sets out for a job is held back; a sealed claim ends an attempt. A shard that
    is on its way always goes on: held back, its lease would run out.
    """
    sets_out = isinstance(action, act.MakeClaim) and not action.sealed
    return not sets_out or shard in sending or len(sending) < MAX_SENDING


def is_idle_action(action: act.Action) -> bool:
    """Tell whether an action only asks how things stand."""
    return isinstance(action, _ASKING)


def may_still_be_done(action: act.Action) -> bool:
    """Tell whether an action is done after an interruption, to take back what was not sent."""
    return isinstance(action, _TAKING_BACK)


def may_leave_round(state: ShardState, others_at_work: bool) -> bool:
    """Tell whether a call of one round may leave a shard that waits.

    Args:
        state: of the shard.
        others_at_work: whether a shard that has its job has something to do now.
    """
    attempts = state.attempts.values()
    if any(is_sending(attempt) or is_sealed(attempt) for attempt in attempts):
        # A claim is seen through: the next round would have to wait it out, and begin anew.
        return False
    # What is collected now may give it room.
    return not (is_unsent(state) and others_at_work)


def round_is_over(until: float, idle_since: float) -> bool:
    """Tell whether a round is over for a shard that has only waited since `idle_since`."""
    return until > idle_since + ROUND_PATIENCE


def next_due(until: float, now: float, one_round: bool) -> float:
    """When a waiting shard is decided again: one round decides it once more within a moment."""
    return min(now + ROUND_PATIENCE, until) if one_round else until


def renewal_is_due(last: float, now: float, lease: float) -> bool:
    """Tell whether a claim must be renewed, so that nobody takes it over while its holder works."""
    return now - last >= lease / RENEWALS_PER_LEASE


def longest_sleep(lease: float) -> float:
    """Return the longest a lane may sleep without missing a renewal."""
    return lease / (2 * RENEWALS_PER_LEASE)


def poll_interval(before: float | None, poll: tuple[float, float]) -> float:
    """Seconds to the next poll, from those before it: growing, since most jobs take hours."""
    low, high = poll
    return low if before is None else min(high, before * POLL_GROWTH)


def call_retry_delay(failures: int, retry_after: float | None) -> float:
    """Seconds before a call that failed for now is repeated: 1, 2, 4 ... 300, or as asked."""
    return max(retry_after or 0.0, min(LONGEST_RETRY_DELAY, 2.0 ** min(failures, 9)))


def leaves_input_to_expire(failures: int) -> bool:
    """Tell whether to stop trying to delete an input file.

    Its rows are durable by then: a file that stays costs room until it expires, but a shard that
    waits for its deletion never settles.
    """
    return failures >= DELETE_TRIES


def must_reload(known_epoch: int, reserved_epoch: int) -> bool:
    """Tell whether the reservation log shows that another process has been at an attempt.

    Then what is waited for may be held by this attempt's own retry: waiting on without reading
    its records would last until that job's end.
    """
    return reserved_epoch > known_epoch
