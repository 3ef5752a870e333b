"""Decide the way from a planned attempt to its remote job: claim, reserve, upload, look, create."""

from __future__ import annotations

from reembed.core.machine import actions as act
from reembed.core.machine.epochs import (
    SCAN_LIFE,
    adopted,
    epoch_of,
    is_fresh,
    is_past_list,
    is_unlisted,
    may_have_sent,
    oldest,
)
from reembed.core.machine.governor import LONGEST_PATIENCE
from reembed.core.machine.late import late_job
from reembed.core.machine.records import Need
from reembed.core.machine.rules import Rules, World, form_of, is_inline
from reembed.core.machine.view import AttemptView, ShardView

# A share of the token quota above this is worth a cut, when the log has not moved for so many of
# the shortest poll intervals.
GAP_SHARE, QUIET_POLLS = 0.02, 4
# Seconds after which nobody waits for room in a log that stands still. A job ends or expires
# within 48 hours (the vendor's batch page), and its holder then writes a line.
LONGEST_STANDSTILL = 72 * 3600.0


def decide_creating(
    view: ShardView, attempt: AttemptView, world: World, rules: Rules
) -> act.Action:
    """What an attempt without a known job does next."""
    if attempt.local.not_before > world.now:
        return act.Wait(attempt.local.not_before)
    top = attempt.claims.get(attempt.epoch)
    if attempt.closing:
        return _close(view, attempt, world, rules)
    if top is None or top.void:
        return _claim(view, attempt, world, rules)
    if attempt.local.epoch == attempt.epoch:
        return _ours(view, attempt, world, rules)
    return _theirs(view, attempt, world, rules)


def _claim(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action:
    # A job of our name that the ledger does not know: its record, or its reply, was lost.
    adopting = _adopt(view, attempt, world, rules)
    if adopting is not None:
        return adopting
    if late_job(view, attempt.path, world) is not None:
        # Under a claim, so that nobody else buys meanwhile; neither money nor quota is needed.
        return _next_epoch(view, attempt, world, rules)
    if 0 < attempt.local.unsendable == attempt.epoch:
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "ended")
    if _stopped(world):
        return _call_off(attempt, world)
    need = form_of(_name(view, attempt), attempt.need, world, rules)
    if _is_too_large(need, world):
        if _is_one_request(view, attempt):
            return _alone_too_large(attempt, world, rules)
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "split")
    waiting = _no_room(view, attempt, need, world, rules)
    if isinstance(waiting, act.Wait) and _fills_a_gap(view, attempt, need, world, rules):
        return act.MakeClaim(attempt.path, attempt.epoch + 1, "split")
    return waiting or _next_epoch(view, attempt, world, rules)


def _no_room(
    view: ShardView, attempt: AttemptView, need: Need, world: World, rules: Rules
) -> act.ReadBook | act.Leave | act.Wait | None:
    """What is done while a job does not fit the budget or the quotas; None when it fits."""
    closed = world.book.ceiling.opens(need) - world.storage_now
    if closed > 0:
        return act.Wait(world.now + closed)
    room = world.book.room(_name(view, attempt), need, world.quotas, world.storage_now)
    if room == "fits":
        return None
    # Room comes back when another runner's jobs end, which only the log itself tells. One reading
    # is for all shards that wait; what this process gives back shows without any.
    soon = rules.poll[0]
    if world.now >= world.book_at + (soon if room == "capped" else _until_read_again(world, rules)):
        return act.ReadBook(attempt.path)
    if room == "capped":
        return act.Leave("the budget is used up")
    if world.now - world.quiet_since > LONGEST_STANDSTILL:
        return act.Leave(_who_holds(world))
    return act.Wait(world.now + soon)


def _who_holds(world: World) -> str:
    """Why no room came: its holder died, and this call has left that shard or never had it."""
    first = min(world.book.live, key=lambda name: (world.book.since.get(name, 0), name), default="")
    hours = LONGEST_STANDSTILL / 3600
    return (
        f"the quota is in use and nothing has moved for {hours:g} hours (shard and attempt that "
        f"hold it longest: {first or 'none'}); call again to take over what nobody drives"
    )


def _until_read_again(world: World, rules: Rules) -> float:
    """Seconds between two readings of the spend log: half as long as it has stood still."""
    low, high = rules.poll
    return min(high, max(low, (world.book_at - world.quiet_since) / 2))


def _is_too_large(need: Need, world: World) -> bool:
    """Whether a job is above what can ever be taken, however little runs beside it."""
    files = need.input_bytes + need.result_bytes
    lowered = world.book.ceiling.file_bytes is not None  # rises again by itself
    return need.tokens > world.quotas.job_tokens or (
        files > world.quotas.file_bytes and not lowered
    )


def _alone_too_large(
    attempt: AttemptView, world: World, rules: Rules
) -> act.ReadBook | act.Leave | act.Wait:
    """What one request does that is above what a job may have now: nothing is left to cut.

    What 429s have lowered rises again by itself within the longest patience; what is too large
    then still is left to a later call.
    """
    lowered = world.book.ceiling.largest
    if lowered is None or world.storage_now - lowered.at > LONGEST_PATIENCE:
        return act.Leave("one request is above what the service takes at a time")
    if world.now >= world.book_at + _until_read_again(world, rules):
        return act.ReadBook(attempt.path)
    return act.Wait(world.now + rules.poll[0])


def _fills_a_gap(
    view: ShardView, attempt: AttemptView, need: Need, world: World, rules: Rules
) -> bool:
    """Whether to cut a shard in two, so that a piece fits what the others leave of the quota.

    Only the attempt for which the log was read last asks itself, and only once nothing has moved
    for a while: whatever fits whole goes first.
    """
    quiet = world.now - world.quiet_since >= QUIET_POLLS * rules.poll[0]
    if not quiet or world.asked != _name(view, attempt) or _is_one_request(view, attempt):
        return False
    gap = world.book.gap(need, world.quotas, world.storage_now)
    return gap > GAP_SHARE * world.quotas.tokens


def _ours(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action:
    local, epoch = attempt.local, attempt.epoch
    if local.unknown_since is not None:
        return _lost_reply(view, attempt, world, rules)
    late = late_job(view, attempt.path, world)
    giving_up = _why_not(attempt, world, rules, late is not None)
    if giving_up:
        return _give_up(attempt, giving_up)
    need = attempt.need  # what was uploaded goes as a file
    if not local.uploaded:
        need = form_of(_name(view, attempt), need, world, rules)
    inline = is_inline(need, rules)
    fencing = _fence(view, attempt, world, rules)
    if fencing is not None:
        return fencing
    if late is not None:
        fresh = is_fresh(attempt, world)
        return act.RecordCreated(attempt.path, late) if fresh else act.Look(attempt.path)
    if local.refused:
        held = _held(view, attempt, world, rules)
        if held is not None:
            return held
    if not local.reserved:
        return _write_off(view, attempt, world, rules) or act.Reserve(attempt.path, epoch, need)
    if local.prepared is None:
        return act.Prepare(attempt.path, epoch, inline)
    if not inline and not local.uploaded:
        return act.Upload(attempt.path, epoch)
    if not is_fresh(attempt, world):
        return act.Look(attempt.path)
    return act.Create(attempt.path, epoch, inline)


def _why_not(attempt: AttemptView, world: World, rules: Rules, late: bool) -> str:
    """Why this epoch must not create: refused, empty, stopped, or its lease ran out unnoticed.

    With a `late` job nothing will be created, so what was taken for it goes back.
    """
    local = attempt.local
    if local.refused and not _holds(attempt, world, rules):
        return local.refused
    if late and (local.reserved or local.uploaded):
        return "the job before it ended well after all"
    if local.prepared is not None and local.prepared.sent == 0:
        return "nothing could be rendered"
    if _stopped(world) and not late:
        return "creating has stopped"
    if is_past_list(attempt, world, rules) and not rules.assume_lost:
        return "the job of an earlier epoch would not be listed any more"
    if local.looked_at is None or local.refused:
        return ""  # a look follows before anything is sent
    age = attempt.claims[attempt.epoch].age + world.now - local.looked_at
    return "the lease ran out before the create" if age > rules.lease else ""


def _holds(attempt: AttemptView, world: World, rules: Rules) -> bool:
    """Whether the input of an epoch that met a 429 is kept for another try in this epoch.

    The 429 says for certain that nothing was made, so the same epoch may create; its claim is
    renewed meanwhile. Not for ever: somebody else may have more luck, or the job is too large.
    """
    local = attempt.local
    if local.throttled_at is None or not local.uploaded:
        return False
    closed = world.book.ceiling.opens(attempt.need) - world.storage_now
    ready = max(local.claim_after, world.now + closed, world.now)
    fits = not _is_too_large(attempt.need, world)
    return fits and ready - local.throttled_at <= rules.hold


def _held(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action | None:
    """What a holder does that waits for the quota with its input uploaded; None to try again.

    Its room and its dollars go back at once: while it waits, they are others' to take.
    """
    local = attempt.local
    if local.reserved:
        return act.Release(attempt.path, attempt.epoch, "void")
    if world.now < local.claim_after:
        return act.Wait(local.claim_after)
    waiting = _no_room(view, attempt, attempt.need, world, rules)
    if isinstance(waiting, act.Wait) and _fills_a_gap(view, attempt, attempt.need, world, rules):
        return _give_up(attempt, "a piece of it fits the quota")
    return _give_up(attempt, waiting.reason) if isinstance(waiting, act.Leave) else waiting


def _give_up(attempt: AttemptView, reason: str) -> act.Action:
    """Nothing was sent in this epoch: take everything back, then say so in the ledger."""
    if attempt.local.uploaded and not attempt.local.input_deleted:
        return act.DeleteInput(attempt.path, attempt.local.uploaded)
    if attempt.local.reserved:
        return act.Release(attempt.path, attempt.epoch, "void")
    return act.MakeVoid(attempt.path, attempt.epoch, reason)


def _call_off(attempt: AttemptView, world: World) -> act.Action:
    """What is not sent any more: left when this process halts, rejects when the user stopped.

    No look could say that nobody sends between it and the outcome: the user may lift the stop, or
    another may not have read it yet. So the next epoch is taken, and taken for good.
    """
    if world.halted:
        return act.Leave("creating has stopped")
    return act.MakeClaim(attempt.path, attempt.epoch + 1, "stopped")


def _close(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action:
    """End an attempt that is closed, whoever closed it: adopt its job, or say that it has none.

    No epoch follows, so jobs can only be of the lower ones; once those are fenced and a scan shows
    none, there will be none. It is the claim that decides, whatever became of the stop since.
    """
    going_on = _adopt(view, attempt, world, rules) or _fence(view, attempt, world, rules)
    if going_on is not None:
        return going_on
    closing = attempt.closing
    assert closing
    if not is_fresh(attempt, world):
        # Beyond the stated bounds another may have found a job that this process was not shown.
        return act.Look(attempt.path)
    late = late_job(view, attempt.path, world)
    if late is not None:
        return act.RecordCreated(attempt.path, late)
    if is_past_list(attempt, world, rules) and not rules.assume_lost:
        return _ask(view, attempt, rules)
    return _write_off(view, attempt, world, rules) or act.Judge(attempt.path, closing)


def _next_epoch(
    view: ShardView,
    attempt: AttemptView,
    world: World,
    rules: Rules,
    after: float = float("-inf"),
) -> act.Action:
    """Claim the next epoch, once a scan since `after` has shown no job of those before it.

    A scan shows only what the service still lists. Where a job may be older than that, nothing is
    created unless the user says that it is lost.
    """
    late = late_job(view, attempt.path, world) is not None
    if may_have_sent(attempt):
        since = max(after, world.now - SCAN_LIFE)
        first = _adopt_or_scan(view, attempt, world, rules, after=since)
        if first is not None:
            return first
        if not is_fresh(attempt, world):
            return act.Look(attempt.path)
        if is_past_list(attempt, world, rules) and not rules.assume_lost:
            return _ask(view, attempt, rules)
    if _stopped(world) and not late:
        return _call_off(attempt, world)
    return act.MakeClaim(attempt.path, attempt.epoch + 1)


def _ask(view: ShardView, attempt: AttemptView, rules: Rules) -> act.Leave:
    days = rules.retention / 86400
    return act.Leave(
        f"shard {view.plan.shard}, attempt {attempt.path}, was claimed longer ago than the service "
        f"lists its jobs (batch.job_list_days: {days:g}), so a job that was paid for it could not "
        "be found any more; --assume-lost sends it all the same",
        fails=True,
    )


def _write_off(
    view: ShardView, attempt: AttemptView, world: World, rules: Rules
) -> act.Release | None:
    """Keep the dollars of a job that is assumed to be lost: it may have run, and been billed."""
    held = world.book.epoch_of(_name(view, attempt))
    lost = held != attempt.epoch and held in may_have_sent(attempt)
    if lost and is_unlisted(attempt, held, world, rules):
        return act.Release(attempt.path, held, "end")
    return None


def _is_one_request(view: ShardView, attempt: AttemptView) -> bool:
    if attempt.ordinals is None:
        return view.plan.requests == 1
    return sum(end - start for start, end in attempt.ordinals) == 1


def _stopped(world: World) -> bool:
    return bool(world.halted) or world.stopped


def _fence(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action | None:
    """Make sure that no holder of a lower epoch creates any more, or adopt what it created."""
    local = attempt.local
    lower = [epoch for epoch in may_have_sent(attempt) if epoch < attempt.epoch]
    if not lower:
        return None
    for epoch in lower:
        if epoch not in local.fenced:
            return act.Fence(attempt.path, epoch)
    assert local.fenced_at is not None
    # A create that the service took just before the deletion may still become a job as late as
    # its sender would wait for the answer, and the list shows a job so much later at most.
    ready = local.fenced_at + rules.request_timeout + rules.list_lag
    if world.now < ready:
        return act.Wait(ready)
    return _adopt_or_scan(view, attempt, world, rules, after=ready)


def _theirs(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action:
    top, looked_at = attempt.claims[attempt.epoch], attempt.local.looked_at
    if looked_at is None:
        return act.Look(attempt.path)
    # From this moment on a job of that holder, if it made one, stands in the list.
    gone_at = looked_at - top.age + rules.lease + rules.request_timeout + rules.list_lag
    if world.now < gone_at:
        again = looked_at + rules.poll[1]  # its holder may have finished long before
        return act.Look(attempt.path) if world.now >= again else act.Wait(min(gone_at, again))
    return _next_epoch(view, attempt, world, rules, after=gone_at)


def _lost_reply(view: ShardView, attempt: AttemptView, world: World, rules: Rules) -> act.Action:
    """A create was sent and not answered: look for its job until it must have shown."""
    since = attempt.local.unknown_since
    assert since is not None
    shown = since + rules.request_timeout + rules.list_lag
    early = since + min(rules.list_lag, rules.poll[0])
    if world.now < early:
        return act.Wait(early)
    adopting = _adopt_or_scan(view, attempt, world, rules, after=early)
    if adopting is not None:
        return adopting
    if world.now < shown:
        return act.Wait(shown)
    return _next_epoch(view, attempt, world, rules, after=shown)


def _adopt(
    view: ShardView, attempt: AttemptView, world: World, rules: Rules
) -> act.RecordCreated | None:
    """Take the oldest job of our name that a scan has shown, if there is one."""
    found = world.found.get((view.plan.shard, attempt.path), ())
    if not found:
        return None
    job = oldest(found)
    return act.RecordCreated(attempt.path, adopted(job, epoch_of(view, attempt, job, rules)))


def _adopt_or_scan(
    view: ShardView, attempt: AttemptView, world: World, rules: Rules, after: float
) -> act.Action | None:
    """Adopt a job of our name; scan unless a scan since `after` is at hand."""
    adopting = _adopt(view, attempt, world, rules)
    if adopting is None and world.scanned_at < after:
        return act.Scan(attempt.path)
    return adopting


def _name(view: ShardView, attempt: AttemptView) -> str:
    return f"{view.plan.shard}/{attempt.path}"
