"""Fold of the reservation log: dollars spent and reserved, quotas in use, what still fits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import field_validator

from reembed.config.capabilities import LONGEST_RESULT_SECONDS
from reembed.core.records import Need, Record, ReservationLine
from reembed.machine.adaptive_quota import Ceiling, Quotas, lower_after_refusal, reset_after_job_end


class LayeredMap(Mapping[str, int]):
    """An immutable mapping in layers; adding k entries to n costs about k log n.

    A layer is at least twice as large as the next, so there are few, and an entry is copied each
    time its layer is merged with an older one. A newer layer's entry hides an older one's.
    """

    __slots__ = ("_layers",)

    def __init__(self, *layers: Mapping[str, int]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, entries: Mapping[str, int]) -> LayeredMap:
        """The same entries; what has grown already stays as it is."""
        return entries if isinstance(entries, LayeredMap) else cls(*([entries] if entries else []))

    def plus(self, entries: Mapping[str, int]) -> LayeredMap:
        """These entries over what is there."""
        if not entries:
            return self
        layers, top = list(self._layers), entries
        while layers and 2 * len(top) > len(layers[-1]):
            top = {**layers.pop(), **top}
        return LayeredMap(*layers, top)

    def whole(self) -> dict[str, int]:
        """All entries in one dictionary."""
        return {key: value for layer in self._layers for key, value in layer.items()}

    def __getitem__(self, key: str) -> int:
        for layer in reversed(self._layers):
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())

    def __repr__(self) -> str:
        return f"LayeredMap({self.whole()!r})"


__all__ = ["Fold", "Quotas", "Reservations", "Verdict"]

Verdict = Literal["fits", "busy", "capped"]


@dataclass(frozen=True, slots=True)
class Reservations:
    """The log's state after `lines` lines.

    `live` are the needs of attempts whose job may run, by attempt, and `since` the numbers of the
    lines that reserved them first; `held` the result bytes that stand until a time, without those
    that were gone already when the newest line was written; `usd_nano` all dollars ever reserved
    and not given back; `epochs` the highest epoch that ever reserved for an attempt; `ceiling` what
    the 429s say.
    """

    lines: int = 0
    usd_nano: int = 0
    live: Mapping[str, tuple[int, Need]] = field(default_factory=dict)
    held: tuple[tuple[float, int], ...] = ()
    epochs: Mapping[str, int] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)
    ceiling: Ceiling = field(default_factory=Ceiling)

    def add(self, *lines: ReservationLine) -> Reservations:
        """The reservations after more lines."""
        draft = _Draft(
            self.usd_nano,
            dict(self.live),
            deque(self.held),
            self.epochs,
            dict(self.since),
            self.ceiling,
        )
        for number, line in enumerate(lines, self.lines + 1):
            draft.add(number, line)
        return Reservations(
            self.lines + len(lines),
            draft.usd_nano,
            draft.live,
            tuple(draft.held),
            LayeredMap.of(self.epochs).plus(draft.raised),
            draft.since,
            draft.ceiling,
        )

    def epoch_of(self, attempt: str) -> int:
        """The epoch that holds the attempt's reservation; 0 for none."""
        known = self.live.get(attempt)
        return known[0] if known else 0

    def used(self, now: float) -> Need:
        """Everything reserved at the storage's time `now`; `result_bytes` are all file bytes."""
        return self._sum([need for _, need in self.live.values()], now)

    def quotas_under(self, quotas: Quotas, now: float) -> Quotas:
        """The quotas under the ceiling that the 429s of this log tell."""
        return self.ceiling.under(quotas, now, self.used(now)) if self.ceiling.bounds else quotas

    def taken_before(self, attempt: str, now: float) -> Need:
        """What was reserved before an attempt: jobs that the service has most likely taken.

        Those behind it are as likely on their way still, and are about to be refused themselves.
        """
        mine = self.since.get(attempt, self.lines + 1)
        before = [name for name in self.live if self.since.get(name, 0) < mine]
        return self._sum([self.live[name][1] for name in before], now)

    def _sum(self, needs: list[Need], now: float) -> Need:
        waiting = sum(size for until, size in self.held if until > now)
        return Need(
            usd_nano=self.usd_nano,
            tokens=sum(need.tokens for need in needs),
            jobs=sum(need.jobs for need in needs),
            result_bytes=waiting + sum(need.input_bytes + need.result_bytes for need in needs),
        )

    def room(self, attempt: str, need: Need, quotas: Quotas, now: float) -> Verdict:
        """Whether a job fits now, may fit later, or never will under this cap."""
        if attempt in self.live:
            return "fits"
        used = self.used(now)
        cap = quotas.max_usd_nano
        if cap is not None and used.usd_nano + need.usd_nano > cap:
            return "capped"
        # A job may go alone, above what a refusal in company allows for the sum.
        tokens = max(quotas.tokens, min(need.tokens, quotas.job_tokens))
        fits = (
            used.jobs + need.jobs <= quotas.jobs
            and used.tokens + need.tokens <= tokens
            and used.result_bytes + need.input_bytes + need.result_bytes <= quotas.file_bytes
        )
        return "fits" if fits else "busy"

    def gap(self, need: Need, quotas: Quotas, now: float) -> int:
        """Tokens that stay unused because a job is larger than what is left, and only therefore."""
        wide = replace(quotas, tokens=self.used(now).tokens + need.tokens)
        if self.room("", need, wide, now) != "fits":
            return 0
        left = quotas.tokens - self.used(now).tokens
        return left if 0 < left < need.tokens else 0


@dataclass(slots=True)
class _Draft:
    """Reservations while lines are added: copying them for each line would take long."""

    usd_nano: int
    live: dict[str, tuple[int, Need]]
    held: deque[tuple[float, int]]
    epochs: Mapping[str, int]
    since: dict[str, int]
    ceiling: Ceiling
    raised: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, line: ReservationLine) -> None:
        """Take a line in."""
        if line.kind == "refused":
            self.ceiling = lower_after_refusal(self.ceiling, line)
        elif line.kind == "reserve":
            self._reserve(number, line)
        elif line.attempt in self.live:
            _, need = self.live.pop(line.attempt)
            self.since.pop(line.attempt, None)
            if line.kind == "void":
                self.usd_nano -= need.usd_nano
            else:
                self._hold(line.held_until, need.result_bytes)
                self.ceiling = reset_after_job_end(self.ceiling)

    def _hold(self, until: float, size: int) -> None:
        # Nothing is held for longer, so whatever is older by as much was gone when this was
        # written: without this a long run's log would only grow, and each decision sums it up.
        while self.held and self.held[0][0] <= until - LONGEST_RESULT_SECONDS:
            self.held.popleft()
        self.held.append((until, size))

    def _reserve(self, number: int, line: ReservationLine) -> None:
        if line.attempt not in self.live:
            # A next epoch of the same attempt reuses its reservation: one live line each.
            self.usd_nano += line.need.usd_nano
            self.since[line.attempt] = number
        self.live[line.attempt] = (line.epoch, line.need)
        known = self.raised.get(line.attempt) or self.epochs.get(line.attempt, 0)
        self.raised[line.attempt] = max(line.epoch, known)


class Fold(Record):
    """`folds/<seq>`: the spend log's lines up to `seq`, folded; the same from whoever writes it.

    Holds all that a `Reservations` holds. A further field, which folds on disk lack, needs another
    schema version, unless what it is without them is true of all logs that such folds are of.
    """

    reservations: Reservations

    @field_validator("reservations")
    @classmethod
    def _as_written(cls, reservations: Reservations) -> Reservations:
        return replace(reservations, epochs=LayeredMap.of(reservations.epochs).whole())
