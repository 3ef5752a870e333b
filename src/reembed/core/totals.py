"""What a plan comes to, in numbers that add up over stripes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """Counts of a plan, or of a part of it; totals of parts are added with ``+``.

    `chunks` = `requests` + `shared` + `copies` + `rejects` + `skipped`: chunks with a request of
    their own, chunks that take the vector of an equal request, chunks whose vector the
    destination holds under another key, chunks that are rejects already, chunks that the
    destination holds. `canaries` are requests beside these. `tokens` are by modality and include
    the canaries; `shared_tokens`, by modality, is what the shared and the copied chunks would
    have cost. `gone` are keys of the destination that the source has no more. `input_bytes`
    (wire) and `result_bytes` (predicted) include the canaries. `jobs` are the shards that send
    something. `notes` are facts that the chunkers counted, for instance ``video_with_sound``.
    """

    items: int = 0
    chunks: int = 0
    requests: int = 0
    shared: int = 0
    copies: int = 0
    rejects: int = 0
    skipped: int = 0
    gone: int = 0
    canaries: int = 0
    shards: int = 0
    jobs: int = 0
    input_bytes: int = 0
    result_bytes: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    shared_tokens: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_tokens(self) -> int:
        """Tokens of all modalities."""
        return sum(self.tokens.values())

    def __add__(self, other: PlanTotals) -> PlanTotals:
        summed: dict[str, Any] = {}
        for name in (f.name for f in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            summed[name] = mine + theirs if isinstance(mine, int) else _plus(mine, theirs)
        return PlanTotals(**summed)


def sum_totals(parts: Iterable[PlanTotals]) -> PlanTotals:
    """The totals of all parts; of no parts, zeros."""
    return reduce(PlanTotals.__add__, parts, PlanTotals())


def _plus(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})}
