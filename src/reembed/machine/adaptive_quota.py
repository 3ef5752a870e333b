"""Adaptive quota from 429 answers: lowered by each, probed upward later.

Reports of the real quotas disagree, so the configured numbers are a start, not a truth. A 429 is a
line of the spend log, and the ceiling is a fold over those lines in the storage's time: whoever
has read the log holds itself to the same. What the service had taken before it refused is known
to fit. A refusal with nothing enqueued speaks of a bucket that refills in 10 to 20 minutes (as
users report), or of a job that is too large by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from reembed.core.records import Need, ReservationLine

FIRST_WAIT, LONGEST_WAIT = 30.0, 1200.0
PROBE_AFTER, LONGEST_PATIENCE, PROBE_FACTOR = 600.0, 4800.0, 1.25
_NEAR, _FINE = 0.8, 0.05
# So many refusals in a row with nothing else enqueued, and one job is taken to be too large; with
# the growing waits that is after 90 seconds, and again after 15 minutes, when a bucket is full.
TOO_LARGE_AFTER, SURELY_TOO_LARGE_AFTER = 3, 6
_HALF, _EIGHTH = 0.5, 0.125
# Above this many probes every ceiling has passed every quota; a power must not overflow.
_MOST_PROBES = 200
_NOTHING = Need()


@dataclass(frozen=True, slots=True)
class Quotas:
    """The project's quotas and the budget; `max_usd_nano` None means no cap.

    `largest` is the most tokens that the service takes in one job; None: as many as in all.
    """

    max_usd_nano: int | None
    jobs: int
    tokens: int
    file_bytes: int
    largest: int | None = None

    @property
    def job_tokens(self) -> int:
        """The most tokens of one job."""
        return self.tokens if self.largest is None else self.largest


@dataclass(frozen=True, slots=True)
class Bound:
    """One number that a refusal lowered, and when (seconds of the storage's clock).

    The truth lies less than `size`, the refused job's, above it. After `patience` seconds half of
    that is probed, then a quarter of the value, then twice that, and so on: a probe that fails is
    another refusal. Once the value is known to a twentieth, each of those doubles the patience.
    """

    value: int
    at: float
    size: int = 1
    patience: float = PROBE_AFTER

    def probed(self, quota: int, now: float, used: int = 0) -> int:
        """What to hold oneself to now, at most the quota.

        What is `used` runs, even where a refusal on its way looked as if it could not.
        """
        probes = min(_MOST_PROBES, max(0, int((now - self.at) // self.patience)))
        if not probes:
            return min(quota, self.value)
        value = max(self.value, used)
        half = value + max(1, self.size // 2)
        far = int(value * PROBE_FACTOR * 2.0 ** (probes - 2)) if probes > 1 else 0
        return min(quota, max(half, far))

    def lowered(self, value: int, size: int, at: float) -> Bound:
        """The bound after one more refusal: never above what held at that moment."""
        lower = self.probed(value, at)
        if at - self.at < self.patience:
            return Bound(lower, at, min(size, self.size), self.patience)
        known = lower >= _NEAR * self.value and size <= max(1, _FINE * lower)
        patience = min(LONGEST_PATIENCE, 2 * self.patience) if known else PROBE_AFTER
        return Bound(lower, at, size, patience)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the 429s so far say; None where none has spoken. Times are of the storage's clock.

    `refusals` and `file_refusals` count those in a row that came with nothing enqueued or stored;
    nothing is created before `create_after`, and nothing uploaded before `upload_after`.
    """

    tokens: Bound | None = None
    jobs: Bound | None = None
    largest: Bound | None = None
    file_bytes: Bound | None = None
    refusals: int = 0
    file_refusals: int = 0
    create_after: float = 0.0
    upload_after: float = 0.0

    @property
    def bounds(self) -> bool:
        """Whether any number is lowered at all."""
        return bool(self.tokens or self.jobs or self.largest or self.file_bytes)

    def under(self, quotas: Quotas, now: float, used: Need = _NOTHING) -> Quotas:
        """The quotas under this ceiling at the storage's time `now`, when so much is reserved."""
        if not self.bounds:
            return quotas
        return replace(
            quotas,
            jobs=_lower(self.jobs, quotas.jobs, now, used.jobs),
            tokens=_lower(self.tokens, quotas.tokens, now, used.tokens),
            file_bytes=_lower(self.file_bytes, quotas.file_bytes, now, used.result_bytes),
            largest=_lower(self.largest, quotas.job_tokens, now),
        )

    def opens(self, need: Need) -> float:
        """The storage's time before which nothing of this need is sent."""
        return max(self.create_after, self.upload_after) if need.input_bytes else self.create_after


def likely_quota(taken: Need, need: Need, quotas: Quotas) -> Literal["tokens", "jobs"]:
    """Which quota a refused create met: a 429 does not say, so the one that is nearer."""
    tokens = (taken.tokens + need.tokens) / quotas.tokens
    return "jobs" if (taken.jobs + need.jobs) / quotas.jobs > tokens else "tokens"


def lower_after_refusal(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    """The ceiling after a 429, as its line in the spend log tells it."""
    return _no_file(ceiling, line) if line.what == "file" else _no_job(ceiling, line)


def reset_after_job_end(ceiling: Ceiling) -> Ceiling:
    """The ceiling after a job has ended: the service does take jobs."""
    return replace(ceiling, refusals=0, file_refusals=0)


def _no_job(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    taken, need, at = line.taken, line.need, line.at
    if taken.jobs:
        # What runs was taken, so that something always fits once it has ended.
        tokens, jobs = ceiling.tokens, ceiling.jobs
        if line.what == "jobs":
            jobs = _lowered(jobs, taken.jobs, 1, at)
        else:
            tokens = _lowered(tokens, max(taken.tokens, need.tokens), need.tokens, at)
        return replace(
            ceiling,
            tokens=tokens,
            jobs=jobs,
            refusals=0,
            create_after=max(ceiling.create_after, at + (line.retry_after or 0.0)),
        )
    if at < ceiling.create_after:
        # It was on its way already when another was refused: the same news once more.
        until = max(ceiling.create_after, at + (line.retry_after or 0.0))
        return replace(ceiling, create_after=until)
    count, largest = ceiling.refusals + 1, ceiling.largest
    if count >= TOO_LARGE_AFTER:
        share = _EIGHTH if count >= SURELY_TOO_LARGE_AFTER else _HALF
        if share == _EIGHTH or count == TOO_LARGE_AFTER:
            largest = _lowered(largest, max(1, int(need.tokens * share)), 1, at)
    until = at + wait_after(count, line.retry_after)
    return replace(ceiling, largest=largest, refusals=count, create_after=until)


def _no_file(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    taken, need, at = line.taken.result_bytes, line.need, line.at
    if taken:
        size = need.input_bytes + need.result_bytes
        return replace(
            ceiling,
            file_bytes=_lowered(ceiling.file_bytes, max(taken, size), size, at),
            file_refusals=0,
            upload_after=max(ceiling.upload_after, at + (line.retry_after or FIRST_WAIT)),
        )
    if at < ceiling.upload_after:
        return ceiling
    count = ceiling.file_refusals + 1
    until = at + wait_after(count, line.retry_after)
    return replace(ceiling, file_refusals=count, upload_after=until)


def wait_after(refusals: int, retry_after: float | None) -> float:
    """Seconds before the next try after so many 429s: what the service says, else growing."""
    if retry_after is not None:
        return max(1.0, retry_after)
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** max(0, refusals - 1))


def _lowered(bound: Bound | None, value: int, size: int, at: float) -> Bound:
    return Bound(value, at, size) if bound is None else bound.lowered(value, size, at)


def _lower(bound: Bound | None, quota: int, now: float, used: int = 0) -> int:
    return quota if bound is None else bound.probed(quota, now, used)
