"""Fold of the reservation log: dollars spent and reserved, quotas in use, what still fits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import field_validator

from reembed.config.capabilities import LONGEST_RESULT_SECONDS
from reembed.core.records import Need, Record, ReservationLine
from reembed.machine.adaptive_quota import Ceiling, lower_after_refusal, reset_after_job_end
from reembed.machine.layered_map import LayeredMap
from reembed.machine.quotas import Quotas

# Whether a job fits now, may fit once others have ended, or never will under this cap.
Admission = Literal["fits", "busy", "capped"]


@dataclass(frozen=True, slots=True)
class Reservations:
    """State of the reservation log after `lines` lines.

    Attributes:
        lines: how many were folded.
        usd_nano: all dollars ever reserved and not given back.
        live: epoch and need of each attempt whose job may run, by ``shard/attempt``.
        retained_results: (until, bytes) of results of ended jobs, without those that had expired
            when the newest line was written.
        epochs: the highest epoch that ever reserved for an attempt.
        reserved_at_line: the number of the line that first reserved for a live attempt.
        ceiling: quotas as the 429s show them.
    """

    lines: int = 0
    usd_nano: int = 0
    live: Mapping[str, tuple[int, Need]] = field(default_factory=dict)
    retained_results: tuple[tuple[float, int], ...] = ()
    epochs: Mapping[str, int] = field(default_factory=dict)
    reserved_at_line: Mapping[str, int] = field(default_factory=dict)
    ceiling: Ceiling = field(default_factory=Ceiling)

    def add(self, *lines: ReservationLine) -> Reservations:
        """Return the reservations after more lines."""
        draft = _Draft(
            self.usd_nano,
            dict(self.live),
            deque(self.retained_results),
            self.epochs,
            dict(self.reserved_at_line),
            self.ceiling,
        )
        for number, line in enumerate(lines, self.lines + 1):
            draft.add(number, line)
        return Reservations(
            self.lines + len(lines),
            draft.usd_nano,
            draft.live,
            tuple(draft.retained_results),
            LayeredMap.of(self.epochs).plus(draft.raised),
            draft.reserved_at_line,
            draft.ceiling,
        )

    def holding_epoch(self, attempt: str) -> int:
        """Return the epoch that holds the attempt's reservation; 0 for none."""
        known = self.live.get(attempt)
        return known[0] if known else 0

    def shards(self) -> set[str]:
        """Return the shards for which something is reserved."""
        return {attempt.rpartition("/")[0] for attempt in self.live}

    def used(self, now: float) -> Need:
        """Everything reserved at the storage's time `now`; `result_bytes` are all file bytes."""
        return self._sum([need for _, need in self.live.values()], now)

    def quotas_under(self, quotas: Quotas, now: float) -> Quotas:
        """Return the quotas under the ceiling that the 429s of this log show."""
        if not self.ceiling.is_lowered:
            return quotas
        return self.ceiling.apply_to(quotas, now, self.used(now))

    def reserved_before(self, attempt: str, now: float) -> Need:
        """Sum what was reserved before an attempt: jobs that the service has most likely accepted.

        Those reserved after it are as likely on their way still, and about to be refused
        themselves; counting them as accepted would put the ceiling above the truth.
        """
        mine = self.reserved_at_line.get(attempt, self.lines + 1)
        before = [name for name in self.live if self.reserved_at_line.get(name, 0) < mine]
        return self._sum([self.live[name][1] for name in before], now)

    def _sum(self, needs: list[Need], now: float) -> Need:
        retained = sum(size for until, size in self.retained_results if until > now)
        return Need(
            usd_nano=self.usd_nano,
            tokens=sum(need.tokens for need in needs),
            jobs=sum(need.jobs for need in needs),
            result_bytes=retained + sum(need.input_bytes + need.result_bytes for need in needs),
        )

    def admission(self, attempt: str, need: Need, quotas: Quotas, now: float) -> Admission:
        """Tell whether a job fits now, may fit later, or never will under this cap."""
        if attempt in self.live:
            # A next epoch takes its predecessor's reservation over; asking it to fit beside
            # itself would let an attempt wait for its own room for ever.
            return "fits"
        used = self.used(now)
        cap = quotas.max_usd_nano
        if cap is not None and used.usd_nano + need.usd_nano > cap:
            return "capped"
        # A job may go alone, above what a refusal in company allows for the sum: else a job that
        # is larger than the lowered sum would wait until the ceiling has risen again.
        tokens = max(quotas.tokens, min(need.tokens, quotas.job_tokens))
        fits = (
            used.jobs + need.jobs <= quotas.jobs
            and used.tokens + need.tokens <= tokens
            and quotas.files_fit(used.result_bytes + need.input_bytes + need.result_bytes)
        )
        return "fits" if fits else "busy"

    def decide_reserve(
        self, attempt: str, epoch: int, need: Need, quotas: Quotas, now: float
    ) -> Literal["append", "held", "refused"]:
        """Tell whether to append a reservation for an epoch, or why not: held already, or refused.

        `quotas` are the configured ones; the ceiling of this log is applied to them.
        """
        if self.epochs.get(attempt, 0) > epoch:
            # A line of a later epoch, even one that was given back since: this holder has been
            # overtaken. Reserving would move the reservation to a holder that may not send.
            return "refused"
        if self.holding_epoch(attempt) == epoch:
            return "held"  # the line was written, and its answer was lost
        if attempt not in self.live and now < self.ceiling.earliest_send(need):
            return "refused"
        under = self.quotas_under(quotas, now)
        return "append" if self.admission(attempt, need, under, now) == "fits" else "refused"

    def unused_tokens(self, need: Need, quotas: Quotas, now: float) -> int:
        """Tokens that stay unused only because a job is larger than what is left; 0 for none."""
        wide = replace(quotas, tokens=self.used(now).tokens + need.tokens)
        if self.admission("", need, wide, now) != "fits":
            return 0
        left = quotas.tokens - self.used(now).tokens
        return left if 0 < left < need.tokens else 0


@dataclass(slots=True)
class _Draft:
    """Reservations while lines are added: copying them for each line would take long."""

    usd_nano: int
    live: dict[str, tuple[int, Need]]
    retained_results: deque[tuple[float, int]]
    epochs: Mapping[str, int]
    reserved_at_line: dict[str, int]
    ceiling: Ceiling
    raised: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, line: ReservationLine) -> None:
        """Fold one line in."""
        if line.kind == "refused":
            self.ceiling = lower_after_refusal(self.ceiling, line)
        elif line.kind == "reserve":
            self._reserve(number, line)
        elif line.attempt in self.live:
            _, need = self.live.pop(line.attempt)
            self.reserved_at_line.pop(line.attempt, None)
            if line.kind == "void":
                self.usd_nano -= need.usd_nano
            else:
                # The job may have run: its dollars stay counted, so the cap holds whatever came.
                self._retain(line.retained_until, need.result_bytes)
                self.ceiling = reset_after_job_end(self.ceiling)

    def _retain(self, until: float, size: int) -> None:
        # Nothing is retained for longer, so whatever is older by as much was gone when this was
        # written: without this a long run's log would only grow, and each decision sums it up.
        while self.retained_results and self.retained_results[0][0] <= (
            until - LONGEST_RESULT_SECONDS
        ):
            self.retained_results.popleft()
        self.retained_results.append((until, size))

    def _reserve(self, number: int, line: ReservationLine) -> None:
        if line.attempt not in self.live:
            # A next epoch of the same attempt reuses its reservation: one live line each.
            self.usd_nano += line.need.usd_nano
            self.reserved_at_line[line.attempt] = number
        self.live[line.attempt] = (line.epoch, line.need)
        known = self.raised.get(line.attempt) or self.epochs.get(line.attempt, 0)
        self.raised[line.attempt] = max(line.epoch, known)


class Fold(Record):
    """`folds/<seq>`: the log's lines up to `seq`, folded; the same from whoever writes it.

    Holds all that a `Reservations` holds. A further field, which folds on disk lack, needs another
    schema version, unless its default is true of all logs that such folds are of.
    """

    reservations: Reservations

    @field_validator("reservations")
    @classmethod
    def _as_written(cls, reservations: Reservations) -> Reservations:
        return replace(reservations, epochs=LayeredMap.of(reservations.epochs).whole())
