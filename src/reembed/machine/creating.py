"""Decide the steps from a planned attempt to its remote job: claim, reserve, upload, create."""

from __future__ import annotations

from reembed.machine import actions as act
from reembed.machine.admission import (
    alone_too_large,
    fills_a_gap,
    full_name,
    is_one_request,
    is_too_large,
    no_room,
)
from reembed.machine.epochs import (
    SCAN_LIFE,
    adopted,
    epoch_of,
    is_fresh,
    is_past_list,
    is_unlisted,
    may_have_sent,
    oldest,
)
from reembed.machine.recovered import recovered_job
from reembed.machine.rules import Rules, SharedState, form_of, is_inline
from reembed.machine.states import AttemptState, ShardState


def decide_creating(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """What an attempt without a known job does next."""
    if attempt.local.not_before > shared.now:
        return act.Wait(attempt.local.not_before)
    top = attempt.claims.get(attempt.epoch)
    if attempt.sealed:
        return _close(state, attempt, shared, rules)
    if top is None or top.void:
        return _claim(state, attempt, shared, rules)
    if attempt.local.epoch == attempt.epoch:
        return _ours(state, attempt, shared, rules)
    return _theirs(state, attempt, shared, rules)


def _claim(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    # A job of our name that the ledger does not know: its record, or its reply, was lost.
    adopting = _adopt(state, attempt, shared, rules)
    if adopting is not None:
        return adopting
    if recovered_job(state, attempt.path, shared) is not None:
        # Under a claim, so that nobody else buys meanwhile; neither money nor quota is needed.
        return _next_epoch(state, attempt, shared, rules)
    if 0 < attempt.local.empty_epoch == attempt.epoch:
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "ended")
    if _stopped(shared):
        return _call_off(attempt, shared)
    need = form_of(full_name(state, attempt), attempt.need, shared, rules)
    if is_too_large(need, shared):
        if is_one_request(state, attempt):
            return alone_too_large(attempt, shared, rules)
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "split")
    waiting = no_room(state, attempt, need, shared, rules)
    if isinstance(waiting, act.Wait) and fills_a_gap(state, attempt, need, shared, rules):
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "split")
    return waiting or _next_epoch(state, attempt, shared, rules)


def _ours(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    local, epoch = attempt.local, attempt.epoch
    if local.create_unanswered_since is not None:
        return _lost_reply(state, attempt, shared, rules)
    late = recovered_job(state, attempt.path, shared)
    giving_up = _why_not(attempt, shared, rules, late is not None)
    if giving_up:
        return _give_up(attempt, giving_up)
    need = attempt.need  # what was uploaded goes as a file
    if not local.uploaded:
        need = form_of(full_name(state, attempt), need, shared, rules)
    inline = is_inline(need, rules)
    fencing = _fence(state, attempt, shared, rules)
    if fencing is not None:
        return fencing
    if late is not None:
        fresh = is_fresh(attempt, shared)
        return act.RecordCreated(attempt.path, late) if fresh else act.ReloadRecords(attempt.path)
    if local.refusal:
        held = _held(state, attempt, shared, rules)
        if held is not None:
            return held
    if not local.reserved:
        return _write_off(state, attempt, shared, rules) or act.Reserve(attempt.path, epoch, need)
    if local.prepared is None:
        return act.Prepare(attempt.path, epoch, inline)
    if not inline and not local.uploaded:
        return act.Upload(attempt.path, epoch)
    if not is_fresh(attempt, shared):
        return act.ReloadRecords(attempt.path)
    return act.Create(attempt.path, epoch, inline)


def _why_not(attempt: AttemptState, shared: SharedState, rules: Rules, late: bool) -> str:
    """Why this epoch must not create: refused, empty, stopped, or its lease ran out unnoticed.

    With a `late` job nothing will be created, so what was taken for it goes back.
    """
    local = attempt.local
    if local.refusal and not _holds(attempt, shared, rules):
        return local.refusal
    if late and (local.reserved or local.uploaded):
        return "the job before it ended well after all"
    if local.prepared is not None and local.prepared.sent == 0:
        return "nothing could be rendered"
    if _stopped(shared) and not late:
        return "creating has stopped"
    if is_past_list(attempt, shared, rules) and not rules.assume_lost:
        return "the job of an earlier epoch would not be listed any more"
    if local.records_read_at is None or local.refusal:
        return ""  # a look follows before anything is sent
    age = attempt.claims[attempt.epoch].age + shared.now - local.records_read_at
    return "the lease ran out before the create" if age > rules.lease else ""


def _holds(attempt: AttemptState, shared: SharedState, rules: Rules) -> bool:
    """Whether the input of an epoch that met a 429 is kept for another try in this epoch.

    The 429 says for certain that nothing was made, so the same epoch may create; its claim is
    renewed meanwhile. Not for ever: somebody else may have more luck, or the job is too large.
    """
    local = attempt.local
    if local.throttled_at is None or not local.uploaded:
        return False
    closed = shared.reservations.ceiling.opens(attempt.need) - shared.storage_now
    ready = max(local.retry_at, shared.now + closed, shared.now)
    fits = not is_too_large(attempt.need, shared)
    return fits and ready - local.throttled_at <= rules.hold


def _held(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action | None:
    """What a holder does that waits for the quota with its input uploaded; None to try again.

    Its room and its dollars go back at once: while it waits, they are others' to take.
    """
    local = attempt.local
    if local.reserved:
        return act.Release(attempt.path, attempt.epoch, "void")
    if shared.now < local.retry_at:
        return act.Wait(local.retry_at)
    waiting = no_room(state, attempt, attempt.need, shared, rules)
    if isinstance(waiting, act.Wait) and fills_a_gap(state, attempt, attempt.need, shared, rules):
        return _give_up(attempt, "a piece of it fits the quota")
    return _give_up(attempt, waiting.reason) if isinstance(waiting, act.Defer) else waiting


def _give_up(attempt: AttemptState, reason: str) -> act.Action:
    """Nothing was sent in this epoch: take everything back, then say so in the ledger."""
    if attempt.local.uploaded and not attempt.local.input_deleted:
        return act.DeleteInput(attempt.path, attempt.local.uploaded)
    if attempt.local.reserved:
        return act.Release(attempt.path, attempt.epoch, "void")
    return act.ReleaseClaim(attempt.path, attempt.epoch, reason)


def _call_off(attempt: AttemptState, shared: SharedState) -> act.Action:
    """What is not sent any more: left when this process halts, rejects when the user stopped.

    No look could say that nobody sends between it and the outcome: the user may lift the stop, or
    another may not have read it yet. So the next epoch is taken, and taken for good.
    """
    if shared.halted:
        return act.Defer("creating has stopped")
    return act.MakeClaim(attempt.path, attempt.epoch + 1, "stopped")


def _close(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """End an attempt that is closed, whoever closed it: adopt its job, or say that it has none.

    No epoch follows, so jobs can only be of the lower ones; once those are fenced and a scan shows
    none, there will be none. It is the claim that decides, whatever became of the stop since.
    """
    going_on = _adopt(state, attempt, shared, rules) or _fence(state, attempt, shared, rules)
    if going_on is not None:
        return going_on
    sealed = attempt.sealed
    assert sealed
    if not is_fresh(attempt, shared):
        # Beyond the stated bounds another may have found a job that this process was not shown.
        return act.ReloadRecords(attempt.path)
    late = recovered_job(state, attempt.path, shared)
    if late is not None:
        return act.RecordCreated(attempt.path, late)
    if is_past_list(attempt, shared, rules) and not rules.assume_lost:
        return _ask(state, attempt, rules)
    return _write_off(state, attempt, shared, rules) or act.ClassifyFailure(attempt.path, sealed)


def _next_epoch(
    state: ShardState,
    attempt: AttemptState,
    shared: SharedState,
    rules: Rules,
    after: float = float("-inf"),
) -> act.Action:
    """Claim the next epoch, once a scan since `after` has shown no job of those before it.

    A scan shows only what the service still lists. Where a job may be older than that, nothing is
    created unless the user says that it is lost.
    """
    late = recovered_job(state, attempt.path, shared) is not None
    if may_have_sent(attempt):
        since = max(after, shared.now - SCAN_LIFE)
        first = _adopt_or_scan(state, attempt, shared, rules, after=since)
        if first is not None:
            return first
        if not is_fresh(attempt, shared):
            return act.ReloadRecords(attempt.path)
        if is_past_list(attempt, shared, rules) and not rules.assume_lost:
            return _ask(state, attempt, rules)
    if _stopped(shared) and not late:
        return _call_off(attempt, shared)
    return act.MakeClaim(attempt.path, attempt.epoch + 1)


def _ask(state: ShardState, attempt: AttemptState, rules: Rules) -> act.Defer:
    days = rules.retention / 86400
    return act.Defer(
        f"shard {state.plan.shard}, attempt {attempt.path}, was claimed longer ago than the "
        f"service lists its jobs (batch.job_list_days: {days:g}), so a job that was paid for it "
        "could not be found any more; --assume-lost sends it all the same",
        fails=True,
    )


def _write_off(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Release | None:
    """Keep the dollars of a job that is assumed to be lost: it may have run, and been billed."""
    held = shared.reservations.epoch_of(full_name(state, attempt))
    lost = held != attempt.epoch and held in may_have_sent(attempt)
    if lost and is_unlisted(attempt, held, shared, rules):
        return act.Release(attempt.path, held, "end")
    return None


def _stopped(shared: SharedState) -> bool:
    return bool(shared.halted) or shared.stopped


def _fence(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action | None:
    """Make sure that no holder of a lower epoch creates any more, or adopt what it created."""
    local = attempt.local
    lower = [epoch for epoch in may_have_sent(attempt) if epoch < attempt.epoch]
    if not lower:
        return None
    for epoch in lower:
        if epoch not in local.fenced_epochs:
            return act.Fence(attempt.path, epoch)
    assert local.fenced_at is not None
    # A create that the service took just before the deletion may still become a job as late as
    # its sender would wait for the answer, and the list shows a job so much later at most.
    ready = local.fenced_at + rules.request_timeout + rules.list_lag
    if shared.now < ready:
        return act.Wait(ready)
    return _adopt_or_scan(state, attempt, shared, rules, after=ready)


def _theirs(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    top, looked_at = attempt.claims[attempt.epoch], attempt.local.records_read_at
    if looked_at is None:
        return act.ReloadRecords(attempt.path)
    # From this moment on a job of that holder, if it made one, stands in the list.
    gone_at = looked_at - top.age + rules.lease + rules.request_timeout + rules.list_lag
    if shared.now < gone_at:
        again = looked_at + rules.poll[1]  # its holder may have finished long before
        return (
            act.ReloadRecords(attempt.path)
            if shared.now >= again
            else act.Wait(min(gone_at, again))
        )
    return _next_epoch(state, attempt, shared, rules, after=gone_at)


def _lost_reply(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """A create was sent and not answered: look for its job until it must have shown."""
    since = attempt.local.create_unanswered_since
    assert since is not None
    shown = since + rules.request_timeout + rules.list_lag
    early = since + min(rules.list_lag, rules.poll[0])
    if shared.now < early:
        return act.Wait(early)
    adopting = _adopt_or_scan(state, attempt, shared, rules, after=early)
    if adopting is not None:
        return adopting
    if shared.now < shown:
        return act.Wait(shown)
    return _next_epoch(state, attempt, shared, rules, after=shown)


def _adopt(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.RecordCreated | None:
    """Take the oldest job of our name that a scan has shown, if there is one."""
    found = shared.listed_jobs.get((state.plan.shard, attempt.path), ())
    if not found:
        return None
    job = oldest(found)
    return act.RecordCreated(attempt.path, adopted(job, epoch_of(state, attempt, job, rules)))


def _adopt_or_scan(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules, after: float
) -> act.Action | None:
    """Adopt a job of our name; scan unless a scan since `after` is at hand."""
    adopting = _adopt(state, attempt, shared, rules)
    if adopting is None and shared.listed_at < after:
        return act.ListJobs(attempt.path)
    return adopting
