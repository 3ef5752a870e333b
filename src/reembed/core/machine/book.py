"""The spend log, folded: what is spent, what is reserved, what still fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reembed.core.machine.records import Need, Record, SpendLine

Verdict = Literal["fits", "busy", "capped"]


@dataclass(frozen=True, slots=True)
class Quotas:
    """The project's quotas and the budget; `max_usd_nano` None means no cap."""

    max_usd_nano: int | None
    jobs: int
    tokens: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Book:
    """The log's state after `lines` lines.

    `live` are the needs of attempts whose job may run, by attempt; `held` the result bytes that
    stand until a time; `usd_nano` all dollars ever reserved and not given back; `epochs` the
    highest epoch that ever reserved for an attempt.
    """

    lines: int = 0
    usd_nano: int = 0
    live: Mapping[str, tuple[int, Need]] = field(default_factory=dict)
    held: tuple[tuple[float, int], ...] = ()
    epochs: Mapping[str, int] = field(default_factory=dict)

    def add(self, *lines: SpendLine) -> Book:
        """The book after more lines."""
        live, epochs, held = dict(self.live), dict(self.epochs), list(self.held)
        usd = self.usd_nano
        for line in lines:
            known = live.get(line.attempt)
            if line.kind == "reserve":
                # A next epoch of the same attempt reuses its reservation: one live line each.
                usd += line.need.usd_nano if known is None else 0
                live[line.attempt] = (line.epoch, line.need)
                epochs[line.attempt] = max(line.epoch, epochs.get(line.attempt, 0))
            elif known is not None:
                if line.kind == "void":
                    usd -= known[1].usd_nano
                else:
                    held.append((line.held_until, known[1].result_bytes))
                del live[line.attempt]
        return Book(self.lines + len(lines), usd, live, tuple(held), epochs)

    def epoch_of(self, attempt: str) -> int:
        """The epoch that holds the attempt's reservation; 0 for none."""
        known = self.live.get(attempt)
        return known[0] if known else 0

    def used(self, now: float) -> Need:
        """Everything reserved at the storage's time `now`; `result_bytes` are all file bytes."""
        needs = [need for _, need in self.live.values()]
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
        fits = (
            used.jobs + need.jobs <= quotas.jobs
            and used.tokens + need.tokens <= quotas.tokens
            and used.result_bytes + need.input_bytes + need.result_bytes <= quotas.file_bytes
        )
        return "fits" if fits else "busy"


class Fold(Record):
    """`folds/<seq>`: the spend log's lines up to `seq`, folded; the same from whoever writes it.

    Holds all that a `Book` holds. Another field there, which folds on disk lack, needs another
    schema version.
    """

    book: Book
