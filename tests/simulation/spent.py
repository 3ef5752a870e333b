"""The spend log as the world folds it, apart from the code under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reembed.machine.quotas import Quotas

# The store's clock as a runner reckons it may be off by its drift since its start.
_CLOCKS_APART = 600.0


@dataclass(slots=True)
class Spent:
    """By attempt: what dollars stand reserved, and what of the quotas is live."""

    usd: dict[str, int] = field(default_factory=dict)
    live: dict[str, dict[str, int]] = field(default_factory=dict)
    held: list[tuple[float, int]] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Fold one line in."""
        attempt, kind = line["attempt"], line["kind"]
        if kind == "refused":
            return
        if kind == "reserve":
            if attempt not in self.live:
                self.usd[attempt] = self.usd.get(attempt, 0) + line["need"]["usd_nano"]
            self.live[attempt] = line["need"]
        elif attempt in self.live:
            need = self.live.pop(attempt)
            if kind == "void":
                self.usd[attempt] -= need["usd_nano"]
            else:
                self.held.append((line["retained_until"], need["result_bytes"]))

    def faults(self, line: Mapping[str, Any], quotas: Quotas, now: float) -> list[str]:
        """What a line that was folded in breaks, at the store's time `now`."""
        found, total, cap = [], sum(self.usd.values()), quotas.max_usd_nano
        if cap is not None and total > cap:
            found.append(f"{total} reserved above the cap of {cap} by {line['attempt']}")
        if line["total_usd_nano"] != total:
            said = line["total_usd_nano"]
            found.append(f"the log says {said} in all, its lines come to {total}")
        live = self.live.values()
        if sum(need["jobs"] for need in live) > quotas.jobs:
            found.append(f"more jobs reserved than {quotas.jobs}")
        if sum(need["tokens"] for need in live) > quotas.tokens:
            found.append(f"more tokens reserved than {quotas.tokens}")
        held = sum(size for until, size in self.held if until > now + _CLOCKS_APART)
        stored = held + sum(need["input_bytes"] + need["result_bytes"] for need in live)
        if stored > quotas.file_bytes:
            found.append(f"{stored} bytes of files reserved, the quota is {quotas.file_bytes}")
        return found
