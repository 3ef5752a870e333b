"""Which faults strike where and how often: a different mix for each seed, all of it counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

# name: (rate a draw when switched on, most in one seed)
RATES: dict[str, tuple[float, int]] = {
    "kill_before": (0.02, 5),
    "kill_after": (0.02, 5),
    "freeze_before": (0.02, 4),
    "freeze_after": (0.02, 4),
    "freeze_in_send": (0.4, 3),
    "suspend": (0.3, 4),
    "slow": (0.05, 200),
    "storage_error": (0.01, 4),
    "storage_lost_reply": (0.01, 4),
    "transient": (0.06, 15),
    "lost_reply": (0.06, 15),
    "create_transient": (0.1, 4),
    "create_never": (0.12, 5),
    "create_lost_reply": (0.15, 5),
    "create_late": (0.15, 5),
    "create_beyond": (0.25, 3),
    "quota_storm": (0.5, 3),
    "list_hides": (0.6, 10_000),
    "list_hides_beyond": (0.5, 10_000),
    "interrupt": (0.004, 2),
    "job_failed": (0.15, 4),
    "job_expired": (0.1, 3),
    "job_cancelled": (0.08, 3),
    "job_stuck": (0.06, 2),
    "job_unknown_state": (0.2, 6),
    "job_slow_start": (0.3, 8),
    "row_retryable": (0.1, 12),
    "row_final": (0.06, 8),
    "row_missing": (0.05, 3),
    "row_unsteady": (0.1, 3),
    "poison_job": (1.0, 10_000),
    "input_gone": (0.15, 2),
    "result_gone": (0.06, 1),
    "answer_keyless": (0.05, 1),
    "answer_scrambled": (0.1, 1),
    "answer_wrong_dimension": (0.05, 1),
    "answer_keys_lost": (0.1, 1),
    "answer_damaged_once": (0.5, 2),
    "source_changed": (0.25, 6),
    "slow_upload": (0.25, 4),
}
# Outside the stated bounds of the protocol: only seeds that are marked for them have them.
BEYOND = frozenset({"create_beyond", "list_hides_beyond"})
_HALF = 0.5
# Reads are many and forgiving; it is around a write that a process dies at the wrong moment.
_AT_WRITES, _AT_READS = 4.0, 0.2
_WRITES = ("create", "publish", "upload", "fetch", "delete file")
_OF_PROCESSES = frozenset(
    {"kill_before", "kill_after", "freeze_before", "freeze_after"}
    | {"storage_error", "storage_lost_reply"}
)


class Faults:
    """Draws faults for one seed and counts them by operation.

    Args:
        seed: of the run.
        beyond: the one fault outside the bounds that this seed has; empty for none.
        only: when given, no other fault is switched on.
        never: these are not, whatever the seed says.
    """

    def __init__(
        self,
        seed: int,
        beyond: str = "",
        only: Iterable[str] | None = None,
        never: Iterable[str] = (),
    ) -> None:
        self.random = random.Random(seed ^ 0x5EED)
        allowed = set(RATES) - BEYOND if only is None else set(only)
        on = {name for name in sorted(allowed) if self.random.random() < _HALF}
        factor = self.random.choice((0.3, 1.0, 1.0, 3.0))
        chosen = (on | ({beyond} if beyond else set())) - set(never)
        self._rates = {name: min(1.0, RATES[name][0] * factor) for name in chosen}
        self._able: dict[tuple[str, tuple[str, ...]], tuple[tuple[str, float], ...]] = {}
        self.renew()
        self.counts: Counter[tuple[str, str]] = Counter()

    def renew(self) -> None:
        """As many faults as at the start may strike again, in another act of the seed."""
        self.calm = False
        self._left = {name: RATES[name][1] for name in self._rates}

    def draw(self, op: str, names: tuple[str, ...]) -> str:
        """One of the faults, or nothing."""
        if self.calm:
            return ""
        able = self._able.get((op, names))
        if able is None:
            able = self._able[op, names] = self._rates_at(op, names)
        for name, rate in able:
            if self._left[name] and self.random.random() < rate:
                self._left[name] -= 1
                self.counts[name, op] += 1
                return name
        return ""

    def _rates_at(self, op: str, names: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
        """Those of the faults that this seed has, with their rates at an operation."""
        found = []
        for name in names:
            rate = self._rates.get(name, 0.0)
            if name in _OF_PROCESSES:
                rate *= _AT_WRITES if op.startswith(_WRITES) else _AT_READS
            if rate:
                found.append((name, rate))
        return tuple(found)

    def on(self, name: str) -> bool:
        """Whether this seed has the fault at all."""
        return name in self._rates and not self.calm
