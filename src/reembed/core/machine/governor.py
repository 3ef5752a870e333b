"""How much this process dares to enqueue: lowered when the service says 429, probed upward later.

Reports of the real quotas disagree, so the configured numbers are a start, not a truth. What the
service took before it refused is known to fit; a refusal with nothing enqueued speaks of a bucket
that refills in 10 to 20 minutes (as users report), or of a job that is too large by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reembed.core.machine.book import Quotas
from reembed.core.machine.records import Need

FIRST_WAIT, LONGEST_WAIT = 30.0, 1200.0
PROBE_AFTER, PROBE_FACTOR = 600.0, 1.25
# So many refusals of one job with nothing else enqueued, and the job itself is too large.
TOO_LARGE_AFTER = 3


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What this process holds itself to; seconds are of the local clock.

    `refusals` counts 429s since the last create that went through; `changed_at` is when the
    ceiling last moved.
    """

    tokens: int
    jobs: int
    changed_at: float = float("-inf")
    refusals: int = 0

    @classmethod
    def of(cls, quotas: Quotas) -> Ceiling:
        """The configured quotas, believed until refused."""
        return cls(quotas.tokens, quotas.jobs)

    def under(self, quotas: Quotas) -> Quotas:
        """The quotas under this ceiling."""
        return replace(
            quotas, tokens=min(quotas.tokens, self.tokens), jobs=min(quotas.jobs, self.jobs)
        )


def refused(ceiling: Ceiling, live: Need, need: Need, now: float) -> Ceiling:
    """The ceiling after a 429.

    Args:
        ceiling: until now.
        live: what is reserved without the refused job.
        need: of the refused job.
        now: local clock.
    """
    count = ceiling.refusals + 1
    if live.jobs:
        # What runs was taken: no more than that, and never less than one such job.
        tokens, jobs = max(live.tokens, need.tokens), max(1, live.jobs)
    elif count >= TOO_LARGE_AFTER:
        tokens, jobs = max(1, need.tokens // 2), ceiling.jobs
    else:
        tokens, jobs = ceiling.tokens, ceiling.jobs
    return Ceiling(min(tokens, ceiling.tokens), min(jobs, ceiling.jobs), now, count)


def accepted(ceiling: Ceiling) -> Ceiling:
    """The ceiling after a create that went through."""
    return replace(ceiling, refusals=0)


def probed(ceiling: Ceiling, quotas: Quotas, now: float) -> Ceiling:
    """The ceiling after a quiet time: a quarter higher every ten minutes, up to the quotas."""
    low = ceiling.tokens < quotas.tokens or ceiling.jobs < quotas.jobs
    if not low or now - ceiling.changed_at < PROBE_AFTER:
        return ceiling
    return replace(
        ceiling,
        tokens=min(quotas.tokens, int(ceiling.tokens * PROBE_FACTOR) + 1),
        jobs=min(quotas.jobs, int(ceiling.jobs * PROBE_FACTOR) + 1),
        changed_at=now,
    )


def wait_after(ceiling: Ceiling, retry_after: float | None) -> float:
    """Seconds before the next create after a 429: what the service says, else growing waits."""
    if retry_after is not None:
        return max(1.0, retry_after)
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** max(0, ceiling.refusals - 1))
