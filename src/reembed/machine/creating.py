"""Decide the steps from a planned attempt to its remote job: claim, reserve, upload, create.

A create takes no client token, so a lost answer may mean a job. These rules keep it from being
sent twice: every sender holds the highest claim, has fenced the lower ones, and has read the
records right before. Each rule says below what would go wrong without it.
"""

from __future__ import annotations

from reembed.machine import actions as act
from reembed.machine.admission import (
    is_inline,
    is_single_request,
    is_too_large,
    need_as_sent,
    reservation_name,
    should_fill_gap,
    single_request_too_large,
    wait_for_admission,
)
from reembed.machine.epochs import (
    JOB_LIST_MAX_AGE,
    adoption_record,
    epoch_of_job,
    is_beyond_job_list,
    is_fresh,
    may_be_unlisted,
    may_have_sent,
    oldest_job,
)
from reembed.machine.recovered import recovered_job
from reembed.machine.rules import Rules, SharedState
from reembed.machine.states import AttemptState, ShardState


def decide_creating(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """Choose the next action of an attempt without a known job."""
    if attempt.local.not_before > shared.now:
        return act.Wait(attempt.local.not_before)
    top = attempt.claims.get(attempt.epoch)
    if attempt.sealed:
        return _decide_sealed(state, attempt, shared, rules)
    if top is None or top.void:
        return _decide_unclaimed(state, attempt, shared, rules)
    if attempt.local.epoch == attempt.epoch:
        return _decide_own_claim(state, attempt, shared, rules)
    return _decide_foreign_claim(state, attempt, shared, rules)


def _decide_unclaimed(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """Decide on an attempt that nobody holds: adopt, end it unsent, wait for room, or claim."""
    # A job of our name that the ledger does not know: its record, or the answer to its create, was
    # lost. Without this rule it would be paid for and a second one sent.
    adopting = _adopt(state, attempt, shared, rules)
    if adopting is not None:
        return adopting
    if recovered_job(state, attempt.path, shared) is not None:
        # Under a claim, so that nobody else buys meanwhile. Neither money nor quota is needed, so
        # this stands before the rules on stops and room: a full quota must not lose an answer.
        return _claim_next_epoch(state, attempt, shared, rules)
    if 0 < attempt.local.empty_epoch == attempt.epoch:
        # Nothing could be rendered. Sealed: an open epoch would render, find nothing, and go on so.
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "ended")
    if not shared.may_create:
        return _stop_unsent(attempt, shared)
    need = need_as_sent(reservation_name(state, attempt), attempt.need, shared, rules)
    if is_too_large(need, shared):
        # Room for it never comes, so waiting would never end.
        if is_single_request(state, attempt):
            return single_request_too_large(attempt, shared, rules)
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "split")
    waiting = wait_for_admission(state, attempt, need, shared, rules)
    if isinstance(waiting, act.Wait) and should_fill_gap(state, attempt, need, shared, rules):
        # What is left of the quota fits no waiting job: it would stay unused for hours.
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "split")
    return waiting or _claim_next_epoch(state, attempt, shared, rules)


def _decide_own_claim(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """Choose the step of an attempt whose highest claim is ours: from the claim to the create."""
    local, epoch = attempt.local, attempt.epoch
    if local.create_unanswered_since is not None:
        return _decide_unanswered_create(state, attempt, shared, rules)
    recovered = recovered_job(state, attempt.path, shared)
    reason = _reason_to_release(attempt, shared, rules, recovered is not None)
    if reason:
        return _release_epoch(attempt, reason)
    need = attempt.need  # what was uploaded goes as a file, whatever form would be chosen now
    if not local.uploaded:
        need = need_as_sent(reservation_name(state, attempt), need, shared, rules)
    inline = is_inline(need, rules)
    # Before anything is paid: a holder of a lower epoch that only froze would wake and send.
    fencing = _fence_lower_epochs(state, attempt, shared, rules)
    if fencing is not None:
        return fencing
    if recovered is not None:
        # Records are read first: another may have recorded a job of its own meanwhile.
        if is_fresh(attempt, shared):
            return act.RecordCreated(attempt.path, recovered)
        return act.ReloadRecords(attempt.path)
    if local.refusal:
        waiting = _wait_with_input(state, attempt, shared, rules)
        if waiting is not None:
            return waiting
    if not local.reserved:
        # Reserved before the upload, so that two runners never both pay for the last of the cap.
        writing_off = _write_off_lost_job(state, attempt, shared, rules)
        return writing_off or act.Reserve(attempt.path, epoch, need)
    if local.prepared is None:
        return act.Prepare(attempt.path, epoch, inline)
    if not inline and not local.uploaded:
        return act.Upload(attempt.path, epoch)
    if not is_fresh(attempt, shared):
        # Rendering and uploading may have taken longer than the lease. Without this look, a
        # process that was overtaken meanwhile would send a second job.
        return act.ReloadRecords(attempt.path)
    return act.Create(attempt.path, epoch, inline)


def _reason_to_release(
    attempt: AttemptState, shared: SharedState, rules: Rules, recovered: bool
) -> str:
    """Why this epoch must not create: refused, empty, stopped, or its lease ran out unnoticed.

    With a `recovered` job nothing will be created, so what was taken for it goes back.
    """
    local = attempt.local
    if local.refusal and not _keeps_input(attempt, shared, rules):
        return local.refusal
    if recovered and (local.reserved or local.uploaded):
        return "the job before it ended well after all"
    if local.prepared is not None and local.prepared.sent == 0:
        return "nothing could be rendered"
    if not shared.may_create and not recovered:
        return "creating has stopped"
    if is_beyond_job_list(attempt, shared, rules) and not rules.assume_lost:
        return "the job of an earlier epoch would not be listed any more"
    if local.records_read_at is None or local.refusal:
        return ""  # the records are read before anything is sent
    # Past the lease anybody may take over: what this process sends then may be the second job.
    age = attempt.claims[attempt.epoch].age + shared.now - local.records_read_at
    return "the lease ran out before the create" if age > rules.lease else ""


def _keeps_input(attempt: AttemptState, shared: SharedState, rules: Rules) -> bool:
    """Tell whether the input of an epoch that met a 429 is kept for another try in this epoch.

    The 429 says for certain that nothing was made, so the same epoch may create; its claim is
    renewed meanwhile. Uploading anew for each 429 would send gigabytes for nothing. Not for ever:
    another runner may have more luck, or the job is too large.
    """
    local = attempt.local
    if local.throttled_at is None or not local.uploaded:
        return False
    paused = shared.reservations.ceiling.earliest_send(attempt.need) - shared.storage_now
    ready = max(local.retry_at, shared.now + paused, shared.now)
    fits = not is_too_large(attempt.need, shared)
    return fits and ready - local.throttled_at <= rules.hold_input


def _wait_with_input(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action | None:
    """Decide on a holder that waits for the quota with its input uploaded; None to try again.

    Its room and its dollars go back at once: kept, they would stand unused for the whole wait
    while another runner's job could take them.
    """
    local = attempt.local
    if local.reserved:
        return act.Release(attempt.path, attempt.epoch, "void")
    if shared.now < local.retry_at:
        return act.Wait(local.retry_at)
    waiting = wait_for_admission(state, attempt, attempt.need, shared, rules)
    filling = should_fill_gap(state, attempt, attempt.need, shared, rules)
    if isinstance(waiting, act.Wait) and filling:
        return _release_epoch(attempt, "a piece of it fits the quota")
    if isinstance(waiting, act.Defer):
        return _release_epoch(attempt, waiting.reason)
    return waiting


def _release_epoch(attempt: AttemptState, reason: str) -> act.Action:
    """Take everything of this epoch back, then record that nothing was sent in it.

    In this order: a process that dies in between leaves a claim that is waited out. A void record
    first would let the next epoch begin while this one's file and room still stand.
    """
    if attempt.local.uploaded and not attempt.local.input_deleted:
        return act.DeleteInput(attempt.path, attempt.local.uploaded)
    if attempt.local.reserved:
        return act.Release(attempt.path, attempt.epoch, "void")
    return act.ReleaseClaim(attempt.path, attempt.epoch, reason)


def _stop_unsent(attempt: AttemptState, shared: SharedState) -> act.Action:
    """End what is not sent any more: deferred when this process halts, sealed after a stop.

    That an attempt was never sent cannot be found out by looking: between the look and the outcome
    the user may lift the stop, or another process may not have read it yet, and create. So the
    next epoch is taken, and sealed: none follows it.
    """
    if shared.halted:
        return act.Defer("creating has stopped")
    return act.MakeClaim(attempt.path, attempt.epoch + 1, "stopped")


def _decide_sealed(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """End a sealed attempt, whoever sealed it: adopt its job, or record that it has none.

    No epoch follows, so jobs can only be of the lower ones; once those are fenced and a listing
    shows none, there will be none. The claim decides, whatever became of the stop since: if a
    lifted stop reopened the attempt, the process that ends it and one that sends it could meet.
    """
    adopting = _adopt(state, attempt, shared, rules)
    continuing = adopting or _fence_lower_epochs(state, attempt, shared, rules)
    if continuing is not None:
        return continuing
    sealed = attempt.sealed
    assert sealed
    if not is_fresh(attempt, shared):
        # Another process may have found a job that this one's listing did not show.
        return act.ReloadRecords(attempt.path)
    recovered = recovered_job(state, attempt.path, shared)
    if recovered is not None:
        return act.RecordCreated(attempt.path, recovered)
    if is_beyond_job_list(attempt, shared, rules) and not rules.assume_lost:
        # "Not listed" proves nothing any more: ended as unsent, a paid job would be lost.
        return _defer_beyond_job_list(state, attempt, rules)
    writing_off = _write_off_lost_job(state, attempt, shared, rules)
    return writing_off or act.ClassifyFailure(attempt.path, sealed)


def _claim_next_epoch(
    state: ShardState,
    attempt: AttemptState,
    shared: SharedState,
    rules: Rules,
    listed_after: float = float("-inf"),
) -> act.Action:
    """Claim the next epoch, once a listing has shown no job of those before it.

    A listing shows only what the service still lists. Where a job may be older than that, nothing
    is created unless the user says that it is lost: it may have run, and been paid.
    """
    recovered = recovered_job(state, attempt.path, shared) is not None
    if may_have_sent(attempt):
        since = max(listed_after, shared.now - JOB_LIST_MAX_AGE)
        first = _adopt_or_list(state, attempt, shared, rules, listed_after=since)
        if first is not None:
            return first
        if not is_fresh(attempt, shared):
            return act.ReloadRecords(attempt.path)
        if is_beyond_job_list(attempt, shared, rules) and not rules.assume_lost:
            return _defer_beyond_job_list(state, attempt, rules)
    if not shared.may_create and not recovered:
        return _stop_unsent(attempt, shared)
    return act.MakeClaim(attempt.path, attempt.epoch + 1)


def _defer_beyond_job_list(state: ShardState, attempt: AttemptState, rules: Rules) -> act.Defer:
    days = rules.job_list_retention / 86400
    return act.Defer(
        f"shard {state.plan.shard}, attempt {attempt.path}, was claimed longer ago than the "
        f"service lists its jobs (batch.job_list_days: {days:g}), so a job that was paid for it "
        "could not be found any more; --assume-lost sends it all the same",
        fails=True,
    )


def _write_off_lost_job(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Release | None:
    """Keep the dollars of a job that is assumed to be lost: it may have run, and been billed.

    Taken over by the next epoch instead, one reservation would stand for two jobs, and the cap
    could be passed.
    """
    holding = shared.reservations.holding_epoch(reservation_name(state, attempt))
    lost = holding != attempt.epoch and holding in may_have_sent(attempt)
    if lost and may_be_unlisted(attempt, holding, shared, rules):
        return act.Release(attempt.path, holding, "end")
    return None


def _fence_lower_epochs(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action | None:
    """Make sure that no holder of a lower epoch creates any more, or adopt what it created.

    A process that froze between its last look and its send does not know that it was overtaken.
    With its input file deleted, its create names a missing file and makes no job.
    """
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
    return _adopt_or_list(state, attempt, shared, rules, listed_after=ready)


def _decide_foreign_claim(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """Decide on an attempt that another process holds: wait until it must be gone, take over."""
    top, read_at = attempt.claims[attempt.epoch], attempt.local.records_read_at
    if read_at is None:
        return act.ReloadRecords(attempt.path)
    # From this moment on a job of that holder, if it made one, stands in the list.
    gone_at = read_at - top.age + rules.lease + rules.request_timeout + rules.list_lag
    if shared.now < gone_at:
        again = read_at + rules.poll[1]  # its holder may have finished, or renewed, long before
        if shared.now >= again:
            return act.ReloadRecords(attempt.path)
        return act.Wait(min(gone_at, again))
    return _claim_next_epoch(state, attempt, shared, rules, listed_after=gone_at)


def _decide_unanswered_create(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.Action:
    """Decide after a create that was sent and not answered: look for its job until it must show.

    Sent again at once, it would be a second job whenever only the answer was lost.
    """
    since = attempt.local.create_unanswered_since
    assert since is not None
    shown = since + rules.request_timeout + rules.list_lag
    early = since + min(rules.list_lag, rules.poll[0])
    if shared.now < early:
        return act.Wait(early)
    adopting = _adopt_or_list(state, attempt, shared, rules, listed_after=early)
    if adopting is not None:
        return adopting
    if shared.now < shown:
        return act.Wait(shown)
    return _claim_next_epoch(state, attempt, shared, rules, listed_after=shown)


def _adopt(
    state: ShardState, attempt: AttemptState, shared: SharedState, rules: Rules
) -> act.RecordCreated | None:
    """Take the oldest job of our name that a listing has shown, if there is one."""
    found = shared.listed_jobs.get((state.plan.shard, attempt.path), ())
    if not found:
        return None
    job = oldest_job(found)
    epoch = epoch_of_job(state, attempt, job, rules)
    return act.RecordCreated(attempt.path, adoption_record(job, epoch))


def _adopt_or_list(
    state: ShardState,
    attempt: AttemptState,
    shared: SharedState,
    rules: Rules,
    listed_after: float,
) -> act.Action | None:
    """Adopt a job of our name; list the jobs unless a listing since `listed_after` is at hand."""
    adopting = _adopt(state, attempt, shared, rules)
    if adopting is None and shared.listed_at < listed_after:
        return act.ListJobs(attempt.path)
    return adopting
