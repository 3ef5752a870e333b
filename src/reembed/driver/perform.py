"""`perform`: carry out one action on its seam, and return its result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from reembed.core.names import display_name, input_file_name, is_input_file
from reembed.core.pack import shard_fingerprint
from reembed.core.records import Claim, Created, Unsent
from reembed.driver.collect import join_answer, repay
from reembed.driver.context import Context
from reembed.driver.failures import classify_failure
from reembed.driver.intake import VectorMemory
from reembed.driver.render import Renderer
from reembed.driver.settle import clear_part, write_all_rejects, write_merged_part
from reembed.driver.shared_state import SharedStateStore
from reembed.errors import (
    AccessDeniedError,
    NameTakenError,
    QuotaError,
    RefusedError,
    RemoteNotFoundError,
    RunFailedError,
    TransientError,
    UnknownOutcomeError,
)
from reembed.ledger.reservation_log import Refusal
from reembed.machine import actions as act
from reembed.machine.epochs import is_stale_at_send
from reembed.machine.halts import (
    halt_for_missing_input,
    halt_for_refused_create,
    halt_for_refused_upload,
)
from reembed.machine.reduce import CallFailed, CreateUnanswered, Result, SendRefused
from reembed.machine.scheduling import (
    call_retry_delay,
    leaves_input_to_expire,
    must_reload,
    poll_interval,
)
from reembed.machine.states import ObservedJob, PendingOutcome, ShardState
from reembed.providers.base import Job
from reembed.providers.open import find_provider

# Actions that take long or much memory: they run beside the polling of other shards.
SLOW_ACTIONS = (act.Prepare, act.Upload, act.Create, act.Join, act.ClassifyFailure, act.WritePart)


class Performer:
    """Carries out actions; one object serves all shards and threads of a process."""

    def __init__(self, context: Context, shared: SharedStateStore) -> None:
        self._context, self._shared = context, shared
        self._threads = threading.local()
        self._handlers: dict[type, Callable[[ShardState, Any], Result]] = {
            act.ReloadRecords: self._reload_records,
            act.RefreshReservations: self._refresh_reservations,
            act.MakeClaim: self._make_claim,
            act.ReleaseClaim: self._release_claim,
            act.Reserve: self._reserve,
            act.Release: self._release,
            act.ListJobs: self._list_jobs,
            act.Fence: self._fence,
            act.Prepare: self._prepare,
            act.Upload: self._upload,
            act.Create: self._create,
            act.RecordCreated: self._record_created,
            act.Poll: self._poll,
            act.Join: self._join,
            act.ClassifyFailure: self._classify_failure,
            act.MarkStuck: self._mark_stuck,
            act.Cancel: self._cancel,
            act.RecordOutcome: self._record_outcome,
            act.DeleteInput: self._delete_input,
            act.WritePart: lambda state, action: write_merged_part(context, state),
            act.WriteRejects: lambda state, action: write_all_rejects(context, state),
            act.RecordSettled: self._record_settled,
        }

    def perform(self, state: ShardState, action: act.Action) -> Result:
        """Carry out an action.

        Raises:
            RunFailedError: the key is refused, or an old input file cannot be fenced.
            StorageError: the run directory cannot be read or written.
        """
        try:
            return self._handlers[type(action)](state, action)
        except AccessDeniedError as err:
            name = find_provider(self._context.config.service).key_name()
            raise RunFailedError(
                f"the service refuses the key ({err}); check {name}, then run again"
            ) from err
        except (TransientError, UnknownOutcomeError, QuotaError) as err:
            path = getattr(action, "attempt", "")
            failures = state.attempts[path].local.failures if path in state.attempts else 0
            return CallFailed(call_retry_delay(failures, err.retry_after))

    def _reload_records(self, state: ShardState, action: act.ReloadRecords) -> Result:
        began = self._context.clock.now()
        # The stop first: a user who stops while the records are read is heeded at the next reading,
        # but a stop that stood before is never missed.
        self._shared.set_stopped(self._context.ledger.stopped())
        return replace(self._context.ledger.look(state.plan.shard), records_read_at=began)

    def _refresh_reservations(self, state: ShardState, action: act.RefreshReservations) -> Result:
        self._shared.set_stopped(self._context.ledger.stopped())
        reservations = self._context.spend.read()
        name, known = f"{state.plan.shard}/{action.attempt}", state.attempts[action.attempt].epoch
        self._shared.set_reservations(reservations, refreshed_for=name)
        if must_reload(known, reservations.epochs.get(name, 0)):
            return self._context.ledger.look(state.plan.shard)
        return None

    def _make_claim(self, state: ShardState, action: act.MakeClaim) -> Result:
        holder = self._context.rules.holder
        claim = Claim(holder=holder, epoch=action.epoch, sealed=action.sealed)
        won = self._context.ledger.claim(state.plan.shard, action.attempt, claim)
        if action.sealed == "split":
            # Its pieces will take room: without this, every waiting shard would split itself for
            # the same gap before the first piece has reserved.
            self._shared.expect_reservations()
        return claim if won else "lost"

    def _release_claim(self, state: ShardState, action: act.ReleaseClaim) -> Result:
        self._context.ledger.void(state.plan.shard, action.attempt, action.epoch, action.reason)
        return None

    def _reserve(self, state: ShardState, action: act.Reserve) -> Result:
        name = f"{state.plan.shard}/{action.attempt}"
        won = self._context.spend.reserve(
            name, action.epoch, action.need, self._shared.quotas, self._shared.storage_now
        )
        self._shared.set_reservations(self._context.spend.read())
        return "won" if won else "full"

    def _release(self, state: ShardState, action: act.Release) -> Result:
        name = f"{state.plan.shard}/{action.attempt}"
        life, epoch = self._context.rules.capabilities.result_seconds, action.epoch
        until = self._shared.storage_now() + life
        if state.attempts[action.attempt].outcome is not None:
            # The attempt is over. Whoever reserved for it since the log was last read here is gone
            # or will find the outcome, so nobody else would give that back.
            epoch = max(epoch, self._context.spend.read().holding_epoch(name))
        self._context.spend.release(name, epoch, action.kind, until)
        self._shared.set_reservations(self._context.spend.read())
        return None

    def _list_jobs(self, state: ShardState, action: act.ListJobs) -> Result:
        began = self._context.clock.now()
        self._shared.set_listed_jobs(list(self._context.service.list_jobs()), began)
        return None

    def _fence(self, state: ShardState, action: act.Fence) -> Result:
        name = self._input_name(state, action.attempt, action.epoch)
        try:
            self._context.service.delete_file(name)
        except RemoteNotFoundError:
            return None  # never uploaded, or deleted already: its holder can create nothing
        except RefusedError as err:
            # Unlike other deletions this one must have happened before anything is created: with
            # the file in place, an older holder that wakes would create a second job.
            raise RunFailedError(
                f"the service does not delete {name} ({err}), so an older holder of shard "
                f"{state.plan.shard} could still create its job; delete the file, then run again"
            ) from err
        return None

    def _prepare(self, state: ShardState, action: act.Prepare) -> Result:
        context, attempt = self._context, state.attempts[action.attempt]
        renderer = Renderer(context.content, context.policy, context.wire, action.inline)
        path = context.scratch / f"{state.plan.shard}-{action.attempt}.requests"
        manifest = context.manifest(state.plan.shard)
        model = context.config.model
        found = shard_fingerprint(manifest, model.name, model.task, model.dimensions)
        if found != state.plan.fingerprint:
            # The manifest names the objects that are sent: a changed one could send others.
            raise RunFailedError(
                f"{context.layout.manifest(context.plan, state.plan.shard)} is not the manifest "
                "that was planned: restore it from a copy, finish the run with the version of "
                "reembed that planned it, or begin a new run in another run_dir"
            )
        prepared, unsent = renderer.render(state.plan, manifest, attempt.ordinals, path)
        if unsent:
            record = Unsent(requests=unsent)
            context.ledger.unsent(state.plan.shard, action.attempt, action.epoch, record)
        return prepared

    def _upload(self, state: ShardState, action: act.Upload) -> Result:
        prepared = state.attempts[action.attempt].local.prepared
        assert prepared is not None
        name = self._input_name(state, action.attempt, action.epoch)
        try:
            mime_type = self._context.wire.mime_type
            self._context.service.upload(Path(prepared.path), name, mime_type)
        except NameTakenError:
            # Ours, whole, and the same bytes: the name holds run, shard, attempt and epoch.
            pass
        except QuotaError as err:
            return self._over_quota(state, action, err)
        except RefusedError as err:
            self._shared.halt(halt_for_refused_upload(str(err)))
            return SendRefused(str(err), 0.0)
        return name

    def _create(self, state: ShardState, action: act.Create) -> Result:
        context, local = self._context, state.attempts[action.attempt].local
        if is_stale_at_send(state.attempts[action.attempt], context.clock.now()):
            return CallFailed(0.0)  # held up since the records were read: read them again first
        name = display_name(
            context.rules.run, state.plan.shard, action.attempt, state.plan.fingerprint
        )
        model, priority = context.config.model.name, context.config.batch.priority
        assert local.prepared is not None
        try:
            if action.inline:
                lines = Path(local.prepared.path).read_bytes().splitlines()
                job = context.service.create_inline(model, name, lines, priority)
            else:
                job = context.service.create_from_file(model, name, local.uploaded, priority)
        except UnknownOutcomeError:
            # Everything that may have reached the service. Sent again, it could be a second job;
            # its job is looked for by its name instead.
            return CreateUnanswered()
        except QuotaError as err:
            return self._over_quota(state, action, err)
        except TransientError as err:
            # For certain nothing was sent: the client gives any doubt as `UnknownOutcomeError`.
            return SendRefused(f"not sent: {err}", 5.0)
        except RemoteNotFoundError as err:
            # The input expired, or a process that took over has fenced this epoch.
            self._shared.halt(halt_for_missing_input(action.epoch, action.inline, str(err)))
            return SendRefused(f"not found: {err}", 5.0)
        except RefusedError as err:
            self._shared.halt(halt_for_refused_create(str(err)))
            return SendRefused(str(err), 0.0)
        created = Created(
            job=job.name,
            display_name=name,
            epoch=action.epoch,
            input_file="" if action.inline else local.uploaded,
            create_time=job.create_time,
        )
        # A job may queue for a day, and its requests fill the disk; a retry renders them again.
        Path(local.prepared.path).unlink(missing_ok=True)
        return context.ledger.created(state.plan.shard, action.attempt, created)

    def _over_quota(
        self, state: ShardState, action: act.Upload | act.Create, err: QuotaError
    ) -> SendRefused:
        """Put a 429 on record for all runners."""
        name = f"{state.plan.shard}/{action.attempt}"
        reserved = self._shared.current().reservations.live.get(name)
        # What was refused is what was sent: the form that was reserved, not the planned one.
        need = reserved[1] if reserved else state.attempts[action.attempt].need
        uploading = isinstance(action, act.Upload)
        refusal = Refusal(need, self._shared.storage_now(), err.retry_after, uploading)
        wait = self._context.spend.record_refusal(name, action.epoch, refusal, self._shared.quotas)
        self._shared.set_reservations(self._context.spend.read())
        return SendRefused(f"quota: {err}", wait, quota=True)

    def _record_created(self, state: ShardState, action: act.RecordCreated) -> Result:
        return self._context.ledger.created(state.plan.shard, action.attempt, action.created)

    def _poll(self, state: ShardState, action: act.Poll) -> Result:
        try:
            job = self._context.service.get(action.job)
        except RemoteNotFoundError as err:
            return self._lost(state, action, f"the job is gone from the service ({err})")
        before = state.attempts[action.attempt].job
        interval = poll_interval(before.interval if before else None, self._context.rules.poll)
        if job.done:
            # Counted when seen, not when recorded: creates of other shards may follow in between.
            self._shared.count_job_end(job.state, job.error.code if job.error else 0)
        return _job_view(job, self._context.clock.now(), interval)

    def _join(self, state: ShardState, action: act.Join) -> Result:
        try:
            job = self._context.service.get(action.job)
            return join_answer(self._context, state, action.attempt, job, self._vector_memory())
        except RemoteNotFoundError as err:
            return self._lost(state, action, f"its answer is gone from the service ({err})")

    def _vector_memory(self) -> VectorMemory:
        """Memory for vectors, one for each thread that joins."""
        if not hasattr(self._threads, "memory"):
            self._threads.memory = VectorMemory(self._context.scratch)
        memory: VectorMemory = self._threads.memory
        return memory

    def _classify_failure(self, state: ShardState, action: act.ClassifyFailure) -> Result:
        return classify_failure(self._context, state, state.attempts[action.attempt], action.why)

    def _mark_stuck(self, state: ShardState, action: act.MarkStuck) -> Result:
        self._context.ledger.mark_stuck(state.plan.shard, action.attempt)
        return None

    def _cancel(self, state: ShardState, action: act.Cancel) -> Result:
        try:
            self._context.service.cancel(action.job)
        except (RefusedError, RemoteNotFoundError):
            return None  # ended meanwhile: the next poll says how
        return None

    def _record_outcome(self, state: ShardState, action: act.RecordOutcome) -> Result:
        return self._context.ledger.outcome(state.plan.shard, action.attempt, action.outcome)

    def _delete_input(self, state: ShardState, action: act.DeleteInput) -> Result:
        try:
            # The name may come from a record or from the service: no file but ours is deleted.
            rules = self._context.rules
            if is_input_file(rules.capabilities.input_prefix, rules.run, action.file):
                self._context.service.delete_file(action.file)
        except (RemoteNotFoundError, RefusedError):
            pass  # gone already, or not ours to delete: its place comes free when it expires
        except (TransientError, QuotaError):
            if not leaves_input_to_expire(state.attempts[action.attempt].local.failures):
                raise
        prepared = state.attempts[action.attempt].local.prepared
        if prepared is not None:
            Path(prepared.path).unlink(missing_ok=True)
        return None

    def _record_settled(self, state: ShardState, action: act.RecordSettled) -> Result:
        if not action.settled.part:
            # A settlement without rows must not leave a file with rows where readers look.
            clear_part(self._context, state)
        standing = self._context.ledger.settle(state.plan.shard, action.settled)
        # A former holder of this shard may have reserved since the log was last read here; `decide`
        # gives that back before it finishes the shard.
        self._shared.set_reservations(self._context.spend.read())
        return "won" if standing is action.settled else "lost"

    def _lost(self, state: ShardState, action: act.Poll | act.Join, why: str) -> PendingOutcome:
        """Outcome of a paid result that is gone: reported, never bought again by itself."""
        message = (
            f"RESULT_LOST: {action.job} (shard {state.plan.shard}, attempt {action.attempt}) was "
            f"paid and {why}; nothing more is bought until you decide (--accept-repay buys it "
            "again)"
        )
        attempt = state.attempts[action.attempt]
        return repay(self._context, state, attempt, "RESULT_LOST", message)

    def _input_name(self, state: ShardState, attempt: str, epoch: int) -> str:
        rules = self._context.rules
        prefix = rules.capabilities.input_prefix
        return input_file_name(prefix, rules.run, state.plan.shard, attempt, epoch)


def _job_view(job: Job, now: float, interval: float) -> ObservedJob:
    return ObservedJob(
        name=job.name,
        state=job.state,
        done=job.done,
        pending=job.stats.pending,
        total=job.stats.total,
        error_code=job.error.code if job.error else 0,
        error_message=job.error.message if job.error else "",
        end_time=job.end_time,
        create_time=job.create_time,
        created_at=_seconds(job.create_time),
        polled_at=now,
        interval=interval,
    )


def _seconds(text: str) -> float:
    """An RFC 3339 time in seconds since the epoch; 0 where there is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
