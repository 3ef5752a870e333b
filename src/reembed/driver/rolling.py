"""Roll-ups from a lane: a stripe is rolled up as soon as this lane's share of it is settled."""

from __future__ import annotations

from collections.abc import Iterable

from reembed.core.names import split_shard_id, stripes_of
from reembed.core.plans import StripePlan
from reembed.driver.tools import Tools


class Rolling:
    """Watches the shards of one lane settle.

    Several lanes share a stripe. Each asks once, after the last shard of its own there, whether
    all are settled: the last to ask sees them all. What a lane that died leaves out, the end of
    the call writes.

    Args:
        tools: the seams.
        open_shards: shards of this lane that were not settled when it began.
    """

    def __init__(self, tools: Tools, open_shards: Iterable[str]) -> None:
        self._tools = tools
        shards = list(open_shards)
        self._open: dict[str, set[str]] = {stripe: set() for stripe in stripes_of(shards)}
        for shard in shards:
            self._open[split_shard_id(shard)[0]].add(shard)

    def settled(self, shard: str) -> None:
        """A shard is settled."""
        stripe = split_shard_id(shard)[0]
        left = self._open.get(stripe)
        if left is None:
            return
        left.discard(shard)
        if not left:
            del self._open[stripe]
            self._roll_up(stripe)

    def _roll_up(self, stripe: str) -> None:
        tools = self._tools
        name = tools.layout.stripe(tools.plan, int(stripe))
        plan = StripePlan.decode(tools.storage.read(name), name)
        tools.ledger.roll_up(stripe, [shard.shard for shard in plan.shards], tools.generation)
