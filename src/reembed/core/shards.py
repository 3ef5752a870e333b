"""What the plan knows of a shard, without its manifest: small enough to hold many."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from reembed.core.names import SHARD_PATTERN


class ShardPlan(BaseModel):
    """One shard of a plan.

    Counts: `chunks` = `requests` that bring vectors + `shared`, chunks that take the vector of an
    equal request + `copies`, chunks whose vector the destination holds under another key +
    `rejects`. `tokens` per modality and `wire_bytes`, `result_bytes` include the `canaries`.
    `usd_nano` is the most that one attempt over all requests can cost (billionths of a dollar).
    """

    model_config = ConfigDict(frozen=True)

    shard: str = Field(pattern=SHARD_PATTERN)
    chunks: int
    requests: int
    canaries: int
    rejects: int
    tokens: dict[str, int]
    wire_bytes: int
    result_bytes: int
    usd_nano: int
    fingerprint: str
    shared: int = 0
    copies: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens of all modalities, canaries included."""
        return sum(self.tokens.values())
