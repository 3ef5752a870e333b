"""Admission: in which form an attempt is sent, and what it does while its job does not fit."""

from __future__ import annotations

from reembed.core.records import Need
from reembed.machine import actions as act
from reembed.machine.adaptive_quota import LONGEST_PATIENCE, Bound
from reembed.machine.rules import Rules, SharedState
from reembed.machine.states import AttemptState, ShardState

# A share of the token quota above this is worth a split, when the log has not grown for so many of
# the shortest poll intervals.
MIN_GAP_SHARE, QUIET_POLLS = 0.02, 4
# Seconds after which waiting for room ends in a log that stands still. A job ends or expires
# within 48 hours (the vendor's batch page), and its holder then writes a line.
MAX_STANDSTILL_SECONDS = 72 * 3600.0


def inline_need(need: Need) -> Need:
    """Return the same need for an inline job, which leaves nothing in the file storage."""
    return need.model_copy(update={"input_bytes": 0, "result_bytes": 0})


def is_inline(need: Need, rules: Rules) -> bool:
    """Tell whether a need, as `need_as_sent` gives it, is that of an inline job."""
    return rules.inline != "file" and need.input_bytes == 0


def sends_inline(need: Need, rules: Rules, most_bytes: int | None = None) -> bool:
    """Tell whether an attempt's requests travel in the create's body.

    ``auto`` asks for a small body *and* a small predicted result, and for a service that gives the
    metadata back. Otherwise a file, since only a file can be deleted to fence a frozen holder.
    `most_bytes` stands for the body's usual bound.
    """
    if rules.inline == "inline":
        return True
    if rules.inline == "file" or not rules.metadata_echo:
        return False
    service = rules.capabilities
    most = service.inline_request_bytes if most_bytes is None else most_bytes
    return need.input_bytes <= most and need.result_bytes <= service.inline_result_bytes


def need_as_sent(name: str, need: Need, shared: SharedState, rules: Rules) -> Need:
    """Return what an attempt takes in the form in which it is sent: no file bytes means inline.

    The form that was reserved stands. Where files have no room and ``auto`` may go inline, a body
    up to the service's limit is preferred to waiting for hours until results expire.

    Args:
        name: ``shard/attempt``, as the reservation log has it.
        need: of the attempt, as a file.
        shared: with the reservations.
        rules: of the run.
    """
    inline = inline_need(need)
    if sends_inline(need, rules):
        return inline
    if not sends_inline(need, rules, rules.capabilities.max_inline_bytes):
        return need
    reserved = shared.reservations.live.get(name)
    if reserved is not None:
        # Changing the form under a reservation would send what was not reserved.
        return need if reserved[1].input_bytes else inline
    now, ceiling = shared.storage_now, shared.reservations.ceiling
    files_paused = ceiling.earliest_send(need) > max(now, ceiling.earliest_send(inline))
    files_full = shared.reservations.admission(name, need, shared.quotas, now) == "busy"
    inline_fits = shared.reservations.admission(name, inline, shared.quotas, now) == "fits"
    return inline if inline_fits and (files_paused or files_full) else need


def wait_for_admission(
    state: ShardState, attempt: AttemptState, need: Need, shared: SharedState, rules: Rules
) -> act.RefreshReservations | act.Defer | act.Wait | None:
    """Choose the step of an attempt whose job does not fit budget or quotas; None when it fits."""
    paused = shared.reservations.ceiling.earliest_send(need) - shared.storage_now
    if paused > 0:
        return act.Wait(shared.now + paused)
    admission = shared.reservations.admission(
        reservation_name(state, attempt), need, shared.quotas, shared.storage_now
    )
    if admission == "fits":
        return None
    # Room comes back when another runner's jobs end, which only the log itself shows. One reading
    # serves all shards that wait; what this process gives back shows without any.
    soon = rules.poll[0]
    pause = soon if admission == "capped" else _refresh_interval(shared, rules)
    if shared.now >= shared.reservations_read_at + pause:
        return act.RefreshReservations(attempt.path)
    if admission == "capped":
        # A cap frees nothing by itself: waiting would hold the call open for nothing.
        return act.Defer("the budget is used up")
    if shared.now - shared.reservations_changed_at > MAX_STANDSTILL_SECONDS:
        # Without this, a call would wait for ever for room that a dead holder keeps reserved.
        return act.Defer(_standstill_reason(shared))
    return act.Wait(shared.now + soon)


def _standstill_reason(shared: SharedState) -> str:
    """Why no room came: its holder died, and this call has left that shard or never had it."""
    first = min(
        shared.reservations.live,
        key=lambda name: (shared.reservations.reserved_at_line.get(name, 0), name),
        default="",
    )
    hours = MAX_STANDSTILL_SECONDS / 3600
    return (
        f"the quota is in use and nothing has moved for {hours:g} hours (shard and attempt that "
        f"hold it longest: {first or 'none'}); call again to take over what nobody drives"
    )


def _refresh_interval(shared: SharedState, rules: Rules) -> float:
    """Seconds between two readings of the log: half as long as it has stood still.

    Jobs take hours; readings at the shortest interval all that time would be paid for nothing.
    """
    low, high = rules.poll
    unchanged = shared.reservations_read_at - shared.reservations_changed_at
    return min(high, max(low, unchanged / 2))


def is_too_large(need: Need, shared: SharedState) -> bool:
    """Tell whether a job is above what can ever be accepted, however little runs beside it."""
    files = need.input_bytes + need.result_bytes
    # A lowered file ceiling rises again by itself, so it proves no job too large.
    lowered = shared.reservations.ceiling.file_bytes is not None
    return need.tokens > shared.quotas.job_tokens or (
        not shared.quotas.files_fit(files) and not lowered
    )


def single_request_too_large(
    attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.RefreshReservations | act.Defer | act.Wait:
    """Choose the step of one request above what a job may have now: nothing is left to split.

    A lowered ceiling rises again by itself, and the request is tried once more; each try that is
    refused doubles the patience. Deferring at once would leave for ever what a storm of 429s made
    look too large; waiting on after the longest patience would never end.
    """
    lowered = shared.reservations.ceiling.largest_job
    if lowered is None or _is_out_of_tries(lowered, shared):
        return act.Defer("one request is above what the service takes at a time")
    if shared.now >= shared.reservations_read_at + _refresh_interval(shared, rules):
        return act.RefreshReservations(attempt.path)
    return act.Wait(shared.now + rules.poll[0])


def _is_out_of_tries(lowered: Bound, shared: SharedState) -> bool:
    """Tell whether a bound rises too slowly by now to be waited for."""
    waited = shared.storage_now - lowered.at
    return lowered.patience >= LONGEST_PATIENCE and waited > LONGEST_PATIENCE


def should_fill_gap(
    state: ShardState, attempt: AttemptState, need: Need, shared: SharedState, rules: Rules
) -> bool:
    """Tell whether to split a shard in two, so that a piece fits what is left of the quota.

    Only the attempt for which the log was read last asks itself, and only once nothing has moved
    for a while. Otherwise every waiting shard would be split for the same gap, although whatever
    fits whole goes first.
    """
    quiet = shared.now - shared.reservations_changed_at >= QUIET_POLLS * rules.poll[0]
    if not quiet or shared.refreshed_for != reservation_name(state, attempt):
        return False
    if is_single_request(state, attempt):
        return False
    gap = shared.reservations.unused_tokens(need, shared.quotas, shared.storage_now)
    return gap > MIN_GAP_SHARE * shared.quotas.tokens


def is_single_request(state: ShardState, attempt: AttemptState) -> bool:
    """Tell whether an attempt cannot be split any more."""
    if attempt.ordinals is None:
        return state.plan.requests == 1
    return sum(end - start for start, end in attempt.ordinals) == 1


def reservation_name(state: ShardState, attempt: AttemptState) -> str:
    """An attempt's name in the reservation log: ``shard/attempt``."""
    return f"{state.plan.shard}/{attempt.path}"
