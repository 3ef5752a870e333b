"""How often each fault met each operation, as text; and whether each was met often enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

Counts = Counter[tuple[str, str]]


def fault_table(counts: Counts) -> str:
    """Faults as rows, with their total and the operations that they met, commonest first."""
    lines = []
    for fault in sorted({fault for fault, _ in counts}):
        met = Counter({op: n for (name, op), n in counts.items() if name == fault})
        ops = ", ".join(f"{op} {n}" for op, n in met.most_common())
        lines.append(f"{fault:18} {met.total():7}  {ops}")
    return "\n".join(lines)


def too_few(counts: Counts, minimums: Mapping[tuple[str, str], int]) -> list[str]:
    """Faults that met an operation less often than they must."""
    return [
        f"{fault} met {op} {counts[fault, op]} times, at least {least} are wanted"
        for (fault, op), least in sorted(minimums.items())
        if counts[fault, op] < least
    ]
