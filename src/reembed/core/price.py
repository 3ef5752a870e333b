"""Prices of tokens in billionths of a dollar, rounded up once a modality.

A billionth, since the cheapest known token costs 75 of them: every price in the model table is a
whole number a token, so that the prices of the shards add up to the price of the plan exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from reembed.config.capabilities import PriceKind
from reembed.config.models import ModelSpec
from reembed.errors import ConfigError

NANO = 10**9
_MILLION = 10**6


@dataclass(frozen=True, slots=True)
class ModalityPrice:
    """Price of one modality's tokens; money in billionths of a dollar."""

    modality: str
    tokens: int
    online_usd_nano: int
    batch_usd_nano: int


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a plan by modality, with the day and source of the price list."""

    parts: tuple[ModalityPrice, ...]
    as_of: str
    source: str

    @property
    def tokens(self) -> int:
        """Tokens of all modalities."""
        return sum(part.tokens for part in self.parts)

    @property
    def online_usd_nano(self) -> int:
        """Price by single calls, in billionths of a dollar."""
        return sum(part.online_usd_nano for part in self.parts)

    @property
    def batch_usd_nano(self) -> int:
        """Price by batch jobs, in billionths of a dollar."""
        return sum(part.batch_usd_nano for part in self.parts)

    def usd_nano(self, kind: PriceKind) -> int:
        """Price by jobs of a kind, in billionths of a dollar."""
        return self.batch_usd_nano if kind == "batch" else self.online_usd_nano

    @property
    def online_usd(self) -> Decimal:
        """Price by single calls, in dollars, exact."""
        return to_usd(self.online_usd_nano)

    @property
    def batch_usd(self) -> Decimal:
        """Price by batch jobs, in dollars, exact."""
        return to_usd(self.batch_usd_nano)


def price(tokens: Mapping[str, int], spec: ModelSpec) -> Price:
    """Price tokens by modality; modalities come out in the order of the alphabet.

    A modality costs ``ceil(tokens * dollars_per_million / 10**6)`` in billionths.

    Raises:
        ConfigError: a modality with tokens that the model has no price for.
        ValueError: a negative count.
    """
    parts = []
    for modality, count in sorted(tokens.items()):
        if count < 0:
            raise ValueError(f"{count} tokens of {modality}: a count is 0 or more")
        if count == 0:
            continue
        listed = spec.prices.get(modality)
        # A missing price must not count as free: the cap would hold nothing back.
        if listed is None:
            raise ConfigError(
                f"model.limits.prices.{modality}",
                "missing",
                f"{spec.name} has no price for {modality}; give {{online: …, batch: …}} in "
                "dollars for a million tokens",
            )
        online, batch = _cost(count, listed.online), _cost(count, listed.batch)
        parts.append(ModalityPrice(modality, count, online, batch))
    return Price(tuple(parts), spec.as_of, spec.source)


def _cost(tokens: int, usd_per_million: float) -> int:
    # Through the shortest decimal that reads as this float: 0.1 means a tenth, not its neighbour.
    return math.ceil(Fraction(str(usd_per_million)) * NANO * tokens / _MILLION)


def to_usd(nano: int) -> Decimal:
    """Convert billionths of a dollar to dollars, exactly."""
    return Decimal(nano) / NANO


def cap_nano(max_usd: float | None) -> int | None:
    """Convert a cap in dollars to billionths, rounded down: it is never exceeded. None: no cap."""
    if max_usd is None:
        return None
    return math.floor(Fraction(str(max_usd)) * NANO)


def format_cap(nano: int) -> str:
    """Format a cap of at least so many billionths for ``--max-usd``, rounded up to six places."""
    return (
        f"{Decimal(nano) / NANO:.6f}" if nano % 1000 == 0 else format_cap(nano - nano % 1000 + 1000)
    )


def format_usd(nano: int) -> str:
    """Format dollars, rounded up: cents from one dollar on, four significant places below."""
    usd = to_usd(nano)
    if usd == 0:
        return "$0.00"
    digits = 2 if abs(usd) >= 1 else min(9, 3 - usd.adjusted())
    step = Decimal(1).scaleb(-digits)
    return f"${usd.quantize(step, rounding=ROUND_CEILING):,f}"
