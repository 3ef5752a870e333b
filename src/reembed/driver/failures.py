"""Outcome of a job without answers, or of requests that were never sent."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from reembed.core.pack import need_of_requests
from reembed.core.records import NOT_SENT, Outcome, Sealing, ranges_of
from reembed.driver.collect import unsent_of, with_ending
from reembed.driver.context import Context
from reembed.driver.render import Rendered, Renderer, ordinals_in_wire_order
from reembed.machine.endings import (
    Ending,
    ending_after_failure,
    ending_unsent,
    ending_without_malformed,
    remote_end,
    retry_history,
    should_check_requests,
)
from reembed.machine.states import AttemptState, PendingOutcome, ShardState


def classify_failure(
    context: Context, state: ShardState, attempt: AttemptState, sealed: Sealing = "ended"
) -> PendingOutcome:
    """Work out the outcome of an attempt without answers; see `ClassifyFailure`."""
    manifest = context.manifest(state.plan.shard)
    planned = state.plan.requests
    wanted = {n for n in ordinals_in_wire_order(state.plan, attempt.ordinals) if n < planned}
    unsent = {n: e for n, e in unsent_of(context, state, attempt).items() if n in wanted}
    ordinals = sorted(wanted - unsent.keys())
    need = need_of_requests(manifest, context.packing)
    if attempt.created is None or attempt.job is None:
        ending = ending_unsent(attempt.path, ordinals, unsent, sealed, need)
        outcome = Outcome(state=NOT_SENT, job="")
        return PendingOutcome(with_ending(context, state, attempt, manifest, outcome, ending))
    job, end = attempt.job, remote_end(attempt)
    history = retry_history(attempt.path, {path: a.outcome for path, a in state.attempts.items()})
    faults: dict[int, str] = {}
    if should_check_requests(history, end):
        faults = _faults(context, state, attempt, manifest, ordinals)
    if faults:
        found = ending_without_malformed(history, end, ordinals, faults, need)
    else:
        most = context.config.batch.max_attempts
        found = ending_after_failure(history, end, ordinals, most, need)
    ending = Ending(found.children, {**found.rejects, **unsent}, found.delay_seconds)
    outcome = Outcome(
        state=job.state, job=job.name, end_time=job.end_time, cause=job.error_message[:500]
    )
    return PendingOutcome(with_ending(context, state, attempt, manifest, outcome, ending))


def _faults(
    context: Context,
    state: ShardState,
    attempt: AttemptState,
    manifest: pa.Table,
    ordinals: Sequence[int],
) -> dict[int, str]:
    """Render a refused job's requests again, and check each, by ordinal.

    Requests that cannot be rendered any more (their source changed since) are no finding: the next
    attempt reports them itself.
    """
    assert attempt.created is not None
    inline = not attempt.created.input_file
    wire = context.wire
    renderer = Renderer(context.content, context.policy, wire, inline)
    faults: dict[int, str] = {}
    for ordinal, made in renderer.each(state.plan, manifest, ranges_of(list(ordinals))):
        if isinstance(made, Rendered):
            fault = wire.fault_of(made.part, made.tokens, made.line)
            if fault:
                faults[ordinal] = fault
    return faults
