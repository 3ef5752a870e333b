"""Cut an ordered run of chunks into shards: greedy, under all limits of one job at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reembed.config.packing import JobLimits
from reembed.core.canaries import canary_count

Int64 = npt.NDArray[np.int64]

# A shard of rejects alone sends nothing, yet its manifest must stay of a size that is read whole.
MAX_CHUNKS = 50_000
_NOTHING = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Weights:
    """What each chunk adds to a job: int64 arrays of shape (chunks,); all 0 for a reject.

    `requests` is 1 or 0, `input_bytes` those of its line on the wire, `result_bytes` the
    predicted bytes of its result line. Chunks of one `group` (0 or more) ask for the same: in one
    job only the first of them weighs. -1 is no group.
    """

    requests: Int64
    tokens: Int64
    input_bytes: Int64
    result_bytes: Int64
    group: Int64

    def __post_init__(self) -> None:
        """Check that the arrays describe the same chunks.

        Raises:
            ValueError: their lengths differ.
        """
        if len({len(column) for column in (*self.columns(), self.group)}) != 1:
            raise ValueError("the weights of chunks must be columns of one length")

    def columns(self) -> Sequence[Int64]:
        """The columns in the order of `JobLimits`."""
        return (self.requests, self.tokens, self.input_bytes, self.result_bytes)


def pack(weights: Weights, limits: JobLimits) -> list[tuple[int, int]]:
    """Cut chunks 0..n into half-open runs, each within the limits.

    Canaries repeat requests of their own job, so each is counted as its heaviest request. A chunk
    that is over a limit by itself gets a shard of its own: refusing it is not packing's business.
    """
    bounds = (limits.requests, limits.tokens, limits.input_bytes, limits.result_bytes)
    rows = np.stack(weights.columns(), axis=1).tolist()
    runs: list[tuple[int, int]] = []
    start = 0
    total, heaviest = [0, 0, 0, 0], [0, 0, 0, 0]
    seen: set[int] = set()
    for at, (row, group) in enumerate(zip(rows, weights.group.tolist(), strict=True)):
        add = _NOTHING if group in seen else row
        grown = [have + more for have, more in zip(total, add, strict=True)]
        most = [max(have, more) for have, more in zip(heaviest, add, strict=True)]
        if at > start and (at - start >= MAX_CHUNKS or (add[0] and _over(grown, most, bounds))):
            runs.append((start, at))
            start, grown, most = at, list(row), list(row)
            seen.clear()
        total, heaviest = grown, most
        if group >= 0:
            seen.add(group)
    if rows:
        runs.append((start, len(rows)))
    return runs


def _over(total: list[int], heaviest: list[int], bounds: Sequence[int]) -> bool:
    canaries = canary_count(total[0])
    return any(
        have + canaries * most > bound
        for have, most, bound in zip(total, heaviest, bounds, strict=True)
    )
