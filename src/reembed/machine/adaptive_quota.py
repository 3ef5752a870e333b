"""Adaptive quota from 429 answers: a ceiling that each lowers, and that is probed upward later.

Reports of the real quotas disagree, so the configured numbers are a start, not a truth. A 429 is a
line of the reservation log, and the ceiling is a fold over those lines in the storage's time, so
that every runner that has read the log keeps to the same ceiling, also one that starts tomorrow.

A 429 does not say which quota it met. What the service had accepted before it refused is known to
fit, so that is the new value. A refusal with nothing enqueued means either a bucket that refills in
10 to 20 minutes (as users report), or a job that is too large by itself: waiting tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from reembed.core.records import Need, ReservationLine
from reembed.machine.quotas import Quotas

FIRST_WAIT, LONGEST_WAIT = 30.0, 1200.0
PROBE_AFTER, LONGEST_PATIENCE, PROBE_FACTOR = 600.0, 4800.0, 1.25
# A value counts as known once a failed probe lowered it by less than a fifth, and the refused job
# was within a twentieth of it: the truth then lies that close.
_NEAR, _FINE = 0.8, 0.05
# So many refusals in a row with nothing else enqueued, and one job is taken to be too large; with
# the growing waits that is after 90 seconds, and again after 15 minutes, when a bucket is full.
TOO_LARGE_AFTER, SURELY_TOO_LARGE_AFTER = 3, 6
_HALF, _EIGHTH = 0.5, 0.125
# Above this many probes every ceiling has passed every quota; a power must not overflow.
_MOST_PROBES = 200
_NOTHING = Need()


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
        """Return the value to keep to now, at most the quota.

        Probing is a function of time, not a record: runners that were away probe alike.

        Args:
            quota: the configured one.
            now: seconds of the storage's clock.
            used: what runs at the moment. It was accepted, so the truth is not below it, even
                where a refusal on its way looked as if it were.
        """
        probes = min(_MOST_PROBES, max(0, int((now - self.at) // self.patience)))
        if not probes:
            return min(quota, self.value)
        value = max(self.value, used)
        half = value + max(1, self.size // 2)
        far = int(value * PROBE_FACTOR * 2.0 ** (probes - 2)) if probes > 1 else 0
        return min(quota, max(half, far))

    def lowered(self, value: int, size: int, at: float) -> Bound:
        """Return the bound after one more refusal: never above what held at that moment."""
        lower = self.probed(value, at)
        if at - self.at < self.patience:
            # No probe lies between: the same state was refused twice, which proves nothing new.
            return Bound(lower, at, min(size, self.size), self.patience)
        # Every failed probe costs a refused create; where the value is known, they grow rare.
        known = lower >= _NEAR * self.value and size <= max(1, _FINE * lower)
        patience = min(LONGEST_PATIENCE, 2 * self.patience) if known else PROBE_AFTER
        return Bound(lower, at, size, patience)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Quotas as the 429s so far show them; None where none has lowered that quota.

    Times are of the storage's clock. `refusals` and `file_refusals` count those in a row that came
    with nothing enqueued or stored; nothing is created before `create_after`, and nothing uploaded
    before `upload_after`.
    """

    tokens: Bound | None = None
    jobs: Bound | None = None
    largest_job: Bound | None = None
    file_bytes: Bound | None = None
    refusals: int = 0
    file_refusals: int = 0
    create_after: float = 0.0
    upload_after: float = 0.0

    @property
    def is_lowered(self) -> bool:
        """Tell whether any number is lowered at all."""
        return bool(self.tokens or self.jobs or self.largest_job or self.file_bytes)

    def apply_to(self, quotas: Quotas, now: float, used: Need = _NOTHING) -> Quotas:
        """Lower quotas to this ceiling at the storage's time `now`, when so much is reserved."""
        if not self.is_lowered:
            return quotas
        files = quotas.file_bytes
        if files is not None:
            files = _probed(self.file_bytes, files, now, used.result_bytes)
        return replace(
            quotas,
            jobs=_probed(self.jobs, quotas.jobs, now, used.jobs),
            tokens=_probed(self.tokens, quotas.tokens, now, used.tokens),
            file_bytes=files,
            largest_job=_probed(self.largest_job, quotas.job_tokens, now),
        )

    def earliest_send(self, need: Need) -> float:
        """Return the storage's time before which nothing of this need is sent."""
        return max(self.create_after, self.upload_after) if need.input_bytes else self.create_after


def likely_quota(in_use: Need, need: Need, quotas: Quotas) -> Literal["tokens", "jobs"]:
    """Which quota a refused create met: a 429 does not say, so the one that is nearer."""
    tokens = (in_use.tokens + need.tokens) / quotas.tokens
    return "jobs" if (in_use.jobs + need.jobs) / quotas.jobs > tokens else "tokens"


def lower_after_refusal(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    """Return the ceiling after a 429, as its line in the reservation log describes it."""
    if line.quota == "file":
        return _after_refused_upload(ceiling, line)
    if line.in_use.jobs:
        return _after_refused_create(ceiling, line)
    return _after_refusal_alone(ceiling, line)


def reset_after_job_end(ceiling: Ceiling) -> Ceiling:
    """Start counting anew after a job has ended: the service does accept jobs."""
    return replace(ceiling, refusals=0, file_refusals=0)


def _after_refused_create(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    """Lower a quota after a create that was refused while other jobs ran: the sum was too much.

    The ceiling never falls below what runs, or below the job alone: else nothing would fit once
    the others have ended, and the run would stand still.
    """
    in_use, need, at = line.in_use, line.need, line.at
    tokens, jobs = ceiling.tokens, ceiling.jobs
    if line.quota == "jobs":
        jobs = _lowered(jobs, in_use.jobs, 1, at)
    else:
        tokens = _lowered(tokens, max(in_use.tokens, need.tokens), need.tokens, at)
    return replace(
        ceiling,
        tokens=tokens,
        jobs=jobs,
        refusals=0,
        create_after=max(ceiling.create_after, at + (line.retry_after or 0.0)),
    )


def _after_refusal_alone(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    """Pause all after a create refused with nothing enqueued; later take the job for too large."""
    need, at = line.need, line.at
    if at < ceiling.create_after:
        # It was on its way when another was refused. Counting it too would take a burst of
        # creates, all refused at once, for a job that is too large.
        until = max(ceiling.create_after, at + (line.retry_after or 0.0))
        return replace(ceiling, create_after=until)
    count, largest = ceiling.refusals + 1, ceiling.largest_job
    if count >= TOO_LARGE_AFTER:
        share = _EIGHTH if count >= SURELY_TOO_LARGE_AFTER else _HALF
        if share == _EIGHTH or count == TOO_LARGE_AFTER:
            largest = _lowered(largest, max(1, int(need.tokens * share)), 1, at)
    until = at + wait_after(count, line.retry_after)
    return replace(ceiling, largest_job=largest, refusals=count, create_after=until)


def _after_refused_upload(ceiling: Ceiling, line: ReservationLine) -> Ceiling:
    """An upload was refused: the file storage is full; inline jobs may go on."""
    stored, need, at = line.in_use.result_bytes, line.need, line.at
    if stored:
        size = need.input_bytes + need.result_bytes
        return replace(
            ceiling,
            file_bytes=_lowered(ceiling.file_bytes, max(stored, size), size, at),
            file_refusals=0,
            upload_after=max(ceiling.upload_after, at + (line.retry_after or FIRST_WAIT)),
        )
    if at < ceiling.upload_after:
        return ceiling  # on its way when another was refused: it proves nothing new
    count = ceiling.file_refusals + 1
    until = at + wait_after(count, line.retry_after)
    return replace(ceiling, file_refusals=count, upload_after=until)


def wait_after(refusals: int, retry_after: float | None) -> float:
    """Seconds before the next try after so many 429s: the service's Retry-After, else growing."""
    if retry_after is not None:
        return max(1.0, retry_after)
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** max(0, refusals - 1))


def _lowered(bound: Bound | None, value: int, size: int, at: float) -> Bound:
    return Bound(value, at, size) if bound is None else bound.lowered(value, size, at)


def _probed(bound: Bound | None, quota: int, now: float, used: int = 0) -> int:
    return quota if bound is None else bound.probed(quota, now, used)
