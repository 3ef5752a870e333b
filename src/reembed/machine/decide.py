"""`decide`: from the state of a shard to its next action. Pure.

The rules stand in the order in which they are asked; the first that gives an action decides.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from reembed.core.names import attempt_order, generation_of
from reembed.core.records import NOT_SENT, Settled
from reembed.machine import actions as act
from reembed.machine.creating import decide_creating
from reembed.machine.epochs import is_fresh, may_have_sent
from reembed.machine.rules import Rules, SharedState
from reembed.machine.states import AttemptState, ObservedJob, ShardState

# Failures in a row of one attempt's calls, with waits of 1, 2, 4 ... 300 seconds: half an hour.
GIVE_UP_AFTER = 13


def decide(state: ShardState, shared: SharedState, rules: Rules) -> act.Action:
    """Choose the next action of a shard.

    Attempts are asked in the order of their paths; the first that can do something now does it.
    When all must wait, the shard waits for the earliest; when none is open, it settles.
    """
    if state.settled is not None:
        # A holder that froze or died may have reserved beside the one that went on. Finished at
        # once, its reservation would stay, and take from the quota until the end of the run.
        return _release_leftovers(state, shared) or act.Finished(state.settled)
    waits: list[act.Wait] = []
    defers: list[act.Defer] = []
    for path in sorted(state.attempts, key=attempt_order):
        action = _decide_attempt(state, state.attempts[path], shared, rules)
        if isinstance(action, act.Wait):
            waits.append(action)
        elif isinstance(action, act.Defer):
            # One attempt that cannot go on must not keep its siblings from being collected.
            defers.append(action)
        elif action is not None:
            return action
    if waits:
        return min(waits, key=lambda wait: wait.until)
    if defers:
        # What only the user can decide is reported first.
        return max(defers, key=lambda defer: defer.fails)
    return _settle(state)


def _decide_attempt(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action | None:
    """Choose the next action of an attempt, by how far it has come; None when it is done."""
    if attempt.outcome is not None:
        return _decide_ended(state, attempt, shared)
    if attempt.local.failures >= GIVE_UP_AFTER:
        return act.Defer("the service does not answer")
    if attempt.local.pending_outcome is not None:
        return _decide_collected(attempt, shared, rules)
    if attempt.created is not None:
        return _decide_running(attempt, shared, rules)
    return decide_creating(state, attempt, shared, rules)


def _decide_collected(attempt: AttemptState, shared: SharedState, rules: Rules) -> act.Action:
    """Choose the step of an attempt whose outcome is worked out and not recorded yet."""
    pending = attempt.local.pending_outcome
    assert pending is not None
    if pending.anomaly and not (rules.accept_repay and attempt.suspect):
        # Whatever damaged one paid answer may damage all that follow, so nothing more is bought.
        # Accepted is what was in question when the price was shown, not what comes after.
        return act.Halt(attempt.path, pending.anomaly)
    if pending.outcome.state == NOT_SENT and not is_fresh(attempt, shared):
        # Another process may have recorded a job since; "not sent" beside it would lose its rows.
        return act.ReloadRecords(attempt.path)
    return act.RecordOutcome(attempt.path, pending.outcome)


def _decide_running(attempt: AttemptState, shared: SharedState, rules: Rules) -> act.Action:
    """Decide on an attempt with a recorded job: poll it to its end, then collect or classify."""
    assert attempt.created is not None
    job, local = attempt.job, attempt.local
    if local.not_before > shared.now:
        return act.Wait(local.not_before)
    if job is None:
        return act.Poll(attempt.path, attempt.created.job)
    since = local.unknown_state_since
    if since is not None and shared.now - since > rules.stuck_after:
        # A state of a later API version: guessing its meaning could lose or repeat a paid job.
        return act.Defer(f"{job.name} is in a state that this version does not know")
    if not job.done:
        if _is_stuck(job, shared, rules) and rules.resubmit_stuck:
            # The record first: a CANCELLED job without it would read as the user's wish, and its
            # requests would become rejects.
            if not attempt.stuck:
                return act.MarkStuck(attempt.path)
            if not local.cancelled:
                return act.Cancel(attempt.path, job.name)
        due = job.polled_at + job.interval
        return act.Poll(attempt.path, job.name) if shared.now >= due else act.Wait(due)
    if job.state != "SUCCEEDED":
        return act.ClassifyFailure(attempt.path)
    return act.Join(attempt.path, job.name)


def _is_stuck(job: ObservedJob, shared: SharedState, rules: Rules) -> bool:
    """Tell whether a job has not ended for longer than the user thinks sensible."""
    return job.created_at > 0 and shared.storage_now - job.created_at > rules.stuck_after


def _decide_ended(
    state: ShardState, attempt: AttemptState, shared: SharedState
) -> act.Action | None:
    """Decide on an attempt with an outcome: give back its room and its file; None when done."""
    assert attempt.outcome is not None
    if attempt.local.not_before > shared.now:
        return act.Wait(attempt.local.not_before)
    releasing = _release(state, attempt, shared)
    if releasing is not None:
        return releasing
    created = attempt.created
    if created is not None and created.input_file and not attempt.local.input_deleted:
        # Only after the outcome: a job that is not collected yet might be read again.
        return act.DeleteInput(attempt.path, created.input_file)
    return None


def _release_leftovers(state: ShardState, shared: SharedState) -> act.Action | None:
    for path in sorted(state.attempts, key=attempt_order):
        action = _release(state, state.attempts[path], shared)
        if action is not None:
            return action
    return None


def _release(state: ShardState, attempt: AttemptState, shared: SharedState) -> act.Action | None:
    """Give back what is reserved for an attempt that has ended, whichever epoch holds it.

    Another process may have reserved for it, and may be gone. So the log must have been read since
    the records were, and it is asked again after each release: one that met the line of a later
    epoch has given nothing back.
    """
    read_at = attempt.local.records_read_at
    stale = read_at is not None and shared.reservations_read_at < read_at
    if stale and may_have_sent(attempt):
        return act.RefreshReservations(attempt.path)
    epoch = shared.reservations.holding_epoch(f"{state.plan.shard}/{attempt.path}")
    if not epoch:
        return None
    return act.Release(attempt.path, epoch, _release_kind(attempt))


def _release_kind(attempt: AttemptState) -> Literal["end", "void"]:
    """``end`` where the reservation was used for a job of its own, which may have been billed.

    A job that was made for another attempt is paid by that one's reservation: ended here too, its
    dollars would count twice against the cap.
    """
    return "end" if attempt.created is not None and not attempt.created.made_for else "void"


def _settle(state: ShardState) -> act.Action:
    """Merge what the attempts brought, then record the counts; every attempt has its outcome."""
    every = {path: a.outcome for path, a in state.attempts.items() if a.outcome is not None}
    ended = [o for path, o in every.items() if generation_of(path) == state.generation]
    rows = sum(outcome.rows for outcome in ended)
    copies = state.plan.copies if state.generation == 0 else 0
    rows += copies
    # A lone attempt wrote its rows as the part itself; several are merged into one.
    alone = state.generation == 0 and len(ended) == 1 and not copies
    part = ended[0].rows_uri if alone else state.part
    if rows and not part:
        return act.WritePart()
    before = state.previous
    if before is None:
        rejects = state.plan.rejects + sum(outcome.rejects for outcome in ended)
    else:
        # What was sent again is a row now, or a reject still: what became rows is no reject more.
        rows, rejects = before.rows + rows, before.rejects - rows
        part = part or before.part
    if (rejects or before is not None) and not state.reject_part:
        return act.WriteRejects()
    tokens: Counter[str] = Counter()
    for outcome in every.values():
        tokens.update(outcome.tokens)
    settled = Settled(
        generation=state.generation,
        planned=state.plan.chunks,
        rows=rows,
        rejects=rejects,
        part=part if rows else "",
        reject_part=state.reject_part,
        jobs=sum(1 for a in state.attempts.values() if a.created and not a.created.made_for),
        attempts=len(state.attempts),
        tokens=dict(sorted(tokens.items())),
        reject_codes=dict(state.reject_codes),
    )
    return act.RecordSettled(settled)
