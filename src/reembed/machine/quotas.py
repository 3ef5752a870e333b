"""Quotas of a project, and the days that each of them makes of a plan."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reembed.config.capabilities import LONGEST_RESULT_SECONDS, Capabilities
from reembed.config.job_limits import token_quota
from reembed.config.schema import Config
from reembed.core.plans import PlanTotals
from reembed.core.price import cap_nano

TURNAROUNDS = (1.0, 4.0, 24.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Project's quotas at the service, and the budget of the run.

    Attributes:
        tokens: enqueued tokens of all jobs together.
        jobs: jobs that have not ended.
        file_bytes: input and result files together; None: inline jobs leave none.
        max_usd_nano: the cap in billionths of a dollar; None for no cap.
        largest_job: the most tokens that the service takes in one job; None: as many as in all.
        result_hours: how long a result counts against the file storage after its job's end.
    """

    tokens: int
    jobs: int
    file_bytes: int | None
    max_usd_nano: int | None = None
    largest_job: int | None = None
    result_hours: float = LONGEST_RESULT_SECONDS / 3600

    @classmethod
    def of(cls, config: Config, capabilities: Capabilities) -> Quotas:
        """Return the quotas of a configuration."""
        batch = config.batch
        return cls(
            tokens=token_quota(config, capabilities),
            jobs=batch.concurrent_jobs,
            file_bytes=None if batch.input == "inline" else int(batch.file_storage_gb * 1e9),
            max_usd_nano=cap_nano(config.budget.max_usd),
            result_hours=capabilities.result_seconds / 3600,
        )

    @property
    def job_tokens(self) -> int:
        """Return the most tokens of one job."""
        return self.tokens if self.largest_job is None else self.largest_job

    def files_fit(self, file_bytes: int) -> bool:
        """Tell whether so many bytes of files fit the storage."""
        return self.file_bytes is None or file_bytes <= self.file_bytes


@dataclass(frozen=True, slots=True)
class Days:
    """Days of a plan under each quota alone, when every job takes `turnaround_hours`.

    `binds` names the slowest quota, or ``turnaround`` when all jobs fit at once and only the
    service's own time is waited for. None: the quota does not apply.
    """

    turnaround_hours: float
    enqueued_tokens: float
    concurrent_jobs: float
    file_storage: float | None
    binds: str

    @property
    def days(self) -> float:
        """Days under the quota that binds."""
        return max(self.enqueued_tokens, self.concurrent_jobs, self.file_storage or 0.0)


def days_under(quotas: Quotas, totals: PlanTotals, turnaround_hours: float) -> Days:
    """Days that a plan takes, for jobs of equal size that all take the same time T.

    With J jobs, W tokens in all, w = ceil(W / J) tokens a job, quotas Q tokens and C jobs:

    - enqueued tokens: ``ceil(J / floor(Q / w)) * T``; a job above Q is split: ``ceil(W / Q) * T``
    - concurrent jobs: ``ceil(J / C) * T``
    - file storage: see `storage_hours`

    Time to upload and to collect is not in it.

    Raises:
        ValueError: a turnaround that is not above 0.
    """
    if turnaround_hours <= 0:
        raise ValueError(f"a turnaround of {turnaround_hours} hours: give more than 0")
    jobs = totals.jobs
    if jobs == 0:
        none = None if quotas.file_bytes is None else 0.0
        return Days(turnaround_hours, 0.0, 0.0, none, "nothing to send")
    hours = {
        "enqueued tokens": _token_rounds(quotas.tokens, totals) * turnaround_hours,
        "concurrent jobs": math.ceil(jobs / quotas.jobs) * turnaround_hours,
    }
    if quotas.file_bytes is not None:
        hours["file storage"] = storage_hours(
            quotas.file_bytes, totals, turnaround_hours, quotas.result_hours
        )
    slowest = max(hours, key=lambda name: hours[name])
    binds = slowest if hours[slowest] > turnaround_hours else "turnaround"
    days = {name: value / 24 for name, value in hours.items()}
    return Days(
        turnaround_hours,
        days["enqueued tokens"],
        days["concurrent jobs"],
        days.get("file storage"),
        binds,
    )


def days_table(
    quotas: Quotas, totals: PlanTotals, turnarounds: Sequence[float] = TURNAROUNDS
) -> tuple[Days, ...]:
    """`days_under` for each turnaround."""
    return tuple(days_under(quotas, totals, hours) for hours in turnarounds)


def _token_rounds(quota: int, totals: PlanTotals) -> int:
    per_job = -(-totals.all_tokens // totals.jobs)
    if per_job == 0:
        return 1
    max_concurrent = quota // per_job
    if max_concurrent == 0:
        return -(-totals.all_tokens // quota)
    return -(-totals.jobs // max_concurrent)


def storage_hours(
    quota: int,
    totals: PlanTotals,
    turnaround_hours: float,
    result_hours: float = LONGEST_RESULT_SECONDS / 3600,
) -> float:
    """Hours until the last job ends, when each starts as soon as its files fit.

    A job of input a and predicted result r (means of the plan, in bytes) holds ``a + r`` while it
    runs, T hours, since its result's room is reserved, and ``r`` for H = `result_hours` more (48,
    with Gemini), since the service may refuse to delete results. Job k starts at the earliest
    s_k >= s_(k-1) with::

        sum(a + r for running i) + sum(r for ended i, younger than H) + a + r <= quota

    and the answer is ``s_J + T``. For long plans that is near ``J (a T + r (T + H)) / quota``.
    A job that does not fit the empty storage counts as if it did, one at a time; the packing
    limits keep that from happening.
    """
    if totals.jobs == 0:
        return 0.0
    a, r = totals.input_bytes / totals.jobs, totals.result_bytes / totals.jobs
    room = max(float(quota), a + r)
    times = turnaround_hours, result_hours
    return _last_start(totals.jobs, a, r, room, times) + turnaround_hours


def _last_start(jobs: int, a: float, r: float, room: float, times: tuple[float, float]) -> float:
    turnaround, result_hours = times
    if a + r == 0:
        return 0.0
    ends: deque[tuple[float, int]] = deque()
    expiries: deque[tuple[float, int]] = deque()
    now, running, held = 0.0, 0, 0
    while True:
        # A hair of slack: sums of equal floats must not cost a job its place.
        fit = int((room * (1 + 1e-12) - running * (a + r) - held * r) // (a + r))
        if fit > 0:
            started = min(fit, jobs)
            jobs -= started
            running += started
            ends.append((now + turnaround, started))
        if jobs == 0:
            return now
        next_end = ends[0][0] if ends else math.inf
        next_expiry = expiries[0][0] if expiries else math.inf
        now = min(next_end, next_expiry)
        if next_end <= now:
            count = ends.popleft()[1]
            running, held = running - count, held + count
            expiries.append((now + result_hours, count))
        if next_expiry <= now:
            held -= expiries.popleft()[1]


# What the service's jobs take as a rule, by what users report; 24 hours is what it promises.
USUAL_TURNAROUND = 4.0


def rest_of(totals: PlanTotals, settled: int) -> PlanTotals:
    """Return what is left of a plan when so many of its shards, of equal size, are settled."""
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


def why_not_wait(quotas: Quotas, totals: PlanTotals, max_hours: float) -> str:
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
