"""Whether a plan takes longer than its owner wants paid workers to wait for it."""

from __future__ import annotations

from dataclasses import replace

from reembed.core.quotas import ProjectQuotas, days_under
from reembed.core.totals import PlanTotals

# What the service's jobs take as a rule, by what users report; 24 hours is what it promises.
USUAL_TURNAROUND = 4.0


def rest_of(totals: PlanTotals, settled: int) -> PlanTotals:
    """What is left of a plan when so many of its shards are settled, taken as of equal size."""
    if not totals.shards:
        return totals
    share = max(0, totals.shards - settled) / totals.shards

    def left(value: int) -> int:
        return round(value * share)

    return replace(
        totals,
        shards=left(totals.shards),
        jobs=left(totals.jobs),
        tokens={modality: left(tokens) for modality, tokens in totals.tokens.items()},
        input_bytes=left(totals.input_bytes),
        result_bytes=left(totals.result_bytes),
    )


def why_not_wait(quotas: ProjectQuotas, totals: PlanTotals, max_hours: float) -> str:
    """Say why a plan should not be waited for; empty where it takes at most `max_hours`.

    By the same estimate as the plan's table of days, at `USUAL_TURNAROUND` hours for each job.
    """
    estimate = days_under(quotas, totals, USUAL_TURNAROUND)
    hours = estimate.days * 24
    if hours <= max_hours:
        return ""
    by = "" if estimate.binds == "turnaround" else f", by the quota of {estimate.binds}"
    return (
        f"at {USUAL_TURNAROUND:g} h for a job this takes about {hours:,.0f} h{by}, more than "
        f"batch.max_wait_hours ({max_hours:g})"
    )
