"""Outcome of a job without answers, or of requests that were never sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from reembed.core.pack import need_of_requests
from reembed.core.records import NOT_SENT, Need, Outcome, ranges_of
from reembed.core.row_errors import RowError
from reembed.driver.collect import unsent_of, with_ending
from reembed.driver.context import Context
from reembed.driver.render import Rendered, Renderer, ordinals_in_wire_order
from reembed.machine.endings import (
    Ending,
    RemoteEnd,
    ending_after_failure,
    should_check_requests,
    retry_history,
    split_attempt,
    ending_without_malformed,
)
from reembed.machine.states import AttemptState, PendingOutcome, ShardState
from reembed.providers.gemini.check import RequestLimits, fault_of

_Need = Callable[[Sequence[int]], Need]


def classify_failure(
    context: Context, state: ShardState, attempt: AttemptState, why: str = "ended"
) -> PendingOutcome:
    """Classify a job that ended without answers, or was never sent; see `ClassifyFailure`."""
    manifest = context.manifest(state.plan.shard)
    planned = state.plan.requests
    wanted = {n for n in ordinals_in_wire_order(state.plan, attempt.ordinals) if n < planned}
    unsent = {n: e for n, e in unsent_of(context, state, attempt).items() if n in wanted}
    ordinals = sorted(wanted - unsent.keys())
    need = need_of_requests(manifest, context.config)
    if attempt.created is None or attempt.job is None:
        ending = _never_sent(attempt, ordinals, unsent, why, need)
        return PendingOutcome(
            with_ending(context, state, attempt, manifest, Outcome(state=NOT_SENT, job=""), ending)
        )
    job = attempt.job
    # A job that was cancelled because it was stuck is sent again like one that expired.
    end_state = "EXPIRED" if job.state == "CANCELLED" and attempt.stuck else job.state
    end = RemoteEnd(job.name, end_state, job.error_code, job.error_message)
    history = retry_history(attempt.path, {path: a.outcome for path, a in state.attempts.items()})
    faults = _faults(context, state, attempt, manifest, ordinals) if should_check_requests(history, end) else {}
    if faults:
        found = ending_without_malformed(history, end, ordinals, faults, need)
    else:
        found = ending_after_failure(history, end, ordinals, context.config.batch.max_attempts, need)
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

    What cannot be rendered any more (its source changed since) is no finding: the next attempt
    says so itself.
    """
    assert attempt.created is not None
    inline = not attempt.created.input_file
    renderer = Renderer(context.content, context.policy, context.request_options, inline)
    limits = RequestLimits.of(context.config)
    faults: dict[int, str] = {}
    for ordinal, made in renderer.each(state.plan, manifest, ranges_of(list(ordinals))):
        if isinstance(made, Rendered):
            fault = fault_of(made.part, made.tokens, made.line, limits)
            if fault:
                faults[ordinal] = fault
    return faults


def _never_sent(
    attempt: AttemptState,
    ordinals: Sequence[int],
    unsent: Mapping[int, RowError],
    why: str,
    need: _Need,
) -> Ending:
    if why == "stopped":
        message = "the run was stopped before this was sent; `reembed redrive` sends it"
        stopped = dict.fromkeys(ordinals, RowError("stopped", message, at="submit"))
        return Ending({}, {**stopped, **unsent})
    # Of an ``ended`` attempt nothing is left over; what would be, goes on and is not dropped.
    ways = 2 if why == "split" else 1
    return Ending(split_attempt(attempt.path, ordinals, ways, need), unsent)
