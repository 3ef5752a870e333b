"""Admission: what an attempt does while its job fits neither budget nor quotas."""

from __future__ import annotations

from reembed.core.records import Need
from reembed.machine import actions as act
from reembed.machine.adaptive_quota import LONGEST_PATIENCE, Bound
from reembed.machine.rules import Rules, SharedState
from reembed.machine.states import AttemptState, ShardState

# A share of the token quota above this is worth a cut, when the log has not moved for so many of
# the shortest poll intervals.
GAP_SHARE, QUIET_POLLS = 0.02, 4
# Seconds after which nobody waits for room in a log that stands still. A job ends or expires
# within 48 hours (the vendor's batch page), and its holder then writes a line.
LONGEST_STANDSTILL = 72 * 3600.0


def no_room(
    state: ShardState, attempt: AttemptState, need: Need, shared: SharedState, rules: Rules
) -> act.RefreshReservations | act.Defer | act.Wait | None:
    """What is done while a job does not fit the budget or the quotas; None when it fits."""
    closed = shared.reservations.ceiling.opens(need) - shared.storage_now
    if closed > 0:
        return act.Wait(shared.now + closed)
    room = shared.reservations.room(
        full_name(state, attempt), need, shared.quotas, shared.storage_now
    )
    if room == "fits":
        return None
    # Room comes back when another runner's jobs end, which only the log itself tells. One reading
    # is for all shards that wait; what this process gives back shows without any.
    soon = rules.poll[0]
    if shared.now >= shared.reservations_read_at + (
        soon if room == "capped" else _until_read_again(shared, rules)
    ):
        return act.RefreshReservations(attempt.path)
    if room == "capped":
        return act.Defer("the budget is used up")
    if shared.now - shared.reservations_changed_at > LONGEST_STANDSTILL:
        return act.Defer(_who_holds(shared))
    return act.Wait(shared.now + soon)


def _who_holds(shared: SharedState) -> str:
    """Why no room came: its holder died, and this call has left that shard or never had it."""
    first = min(
        shared.reservations.live,
        key=lambda name: (shared.reservations.since.get(name, 0), name),
        default="",
    )
    hours = LONGEST_STANDSTILL / 3600
    return (
        f"the quota is in use and nothing has moved for {hours:g} hours (shard and attempt that "
        f"hold it longest: {first or 'none'}); call again to take over what nobody drives"
    )


def _until_read_again(shared: SharedState, rules: Rules) -> float:
    """Seconds between two readings of the spend log: half as long as it has stood still."""
    low, high = rules.poll
    return min(high, max(low, (shared.reservations_read_at - shared.reservations_changed_at) / 2))


def is_too_large(need: Need, shared: SharedState) -> bool:
    """Whether a job is above what can ever be taken, however little runs beside it."""
    files = need.input_bytes + need.result_bytes
    lowered = shared.reservations.ceiling.file_bytes is not None  # rises again by itself
    return need.tokens > shared.quotas.job_tokens or (
        files > shared.quotas.file_bytes and not lowered
    )


def alone_too_large(
    attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.RefreshReservations | act.Defer | act.Wait:
    """What one request does that is above what a job may have now: nothing is left to cut.

    What 429s have lowered rises again by itself, and the request is tried once more; each try that
    is refused doubles the patience. What has had the longest is left to a later call.
    """
    lowered = shared.reservations.ceiling.largest
    if lowered is None or _has_had_its_tries(lowered, shared):
        return act.Defer("one request is above what the service takes at a time")
    if shared.now >= shared.reservations_read_at + _until_read_again(shared, rules):
        return act.RefreshReservations(attempt.path)
    return act.Wait(shared.now + rules.poll[0])


def _has_had_its_tries(lowered: Bound, shared: SharedState) -> bool:
    """Whether a bound rises too slowly by now to be waited for."""
    waited = shared.storage_now - lowered.at
    return lowered.patience >= LONGEST_PATIENCE and waited > LONGEST_PATIENCE


def fills_a_gap(
    state: ShardState, attempt: AttemptState, need: Need, shared: SharedState, rules: Rules
) -> bool:
    """Whether to cut a shard in two, so that a piece fits what the others leave of the quota.

    Only the attempt for which the log was read last asks itself, and only once nothing has moved
    for a while: whatever fits whole goes first.
    """
    quiet = shared.now - shared.reservations_changed_at >= QUIET_POLLS * rules.poll[0]
    if (
        not quiet
        or shared.refreshed_for != full_name(state, attempt)
        or is_one_request(state, attempt)
    ):
        return False
    gap = shared.reservations.gap(need, shared.quotas, shared.storage_now)
    return gap > GAP_SHARE * shared.quotas.tokens


def is_one_request(state: ShardState, attempt: AttemptState) -> bool:
    """Whether an attempt cannot be cut any more."""
    if attempt.ordinals is None:
        return state.plan.requests == 1
    return sum(end - start for start, end in attempt.ordinals) == 1


def full_name(state: ShardState, attempt: AttemptState) -> str:
    """An attempt's name in the spend log: ``shard/attempt``."""
    return f"{state.plan.shard}/{attempt.path}"
