"""State of a shard: the ledger's records, and what this process did or saw itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reembed.core.plans import ShardPlan
from reembed.core.records import Claim, Created, Need, Outcome, Ranges, Redrive, Sealing, Settled


@dataclass(frozen=True, slots=True)
class ClaimState:
    """A claim as the last look saw it; `age` in seconds by the storage's clock at that look."""

    claim: Claim
    age: float
    void: bool = False


@dataclass(frozen=True, slots=True)
class ObservedJob:
    """The remote job as the last poll saw it."""

    name: str
    state: str
    done: bool
    pending: int = 0
    total: int = 0
    error_code: int = 0
    error_message: str = ""
    end_time: str = ""
    create_time: str = ""
    created_at: float = 0.0
    polled_at: float = 0.0
    interval: float = 0.0


@dataclass(frozen=True, slots=True)
class PendingOutcome:
    """What joining and writing an answer gave: everything that an outcome record needs.

    `answer_bytes` were read of an answer; 0 where there was none.
    """

    outcome: Outcome
    anomaly: str = ""
    answer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A local file of request lines; `sent` of them, the others became rejects on the way."""

    path: str
    sent: int
    size: int


@dataclass(frozen=True, slots=True)
class Local:
    """What this process did for an attempt; gone when it dies, and then found out again.

    `unsendable` is the epoch, given back since, of which nothing could be rendered.
    """

    epoch: int = 0
    reserved: bool = False
    fenced_epochs: frozenset[int] = frozenset()
    fenced_at: float | None = None
    listed_at: float | None = None
    prepared: Prepared | None = None
    uploaded: str = ""
    refusal: str = ""
    throttled_at: float | None = None
    records_read_at: float | None = None
    create_unanswered_since: float | None = None
    unknown_state_since: float | None = None
    claimed_at: float = 0.0
    pending_outcome: PendingOutcome | None = None
    input_deleted: bool = False
    cancelled: bool = False
    not_before: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    empty_epoch: int = 0


@dataclass(frozen=True, slots=True)
class AttemptState:
    """One attempt: `ordinals` None means all requests of the shard, with canaries."""

    path: str
    ordinals: Ranges | None
    need: Need
    claims: Mapping[int, ClaimState] = field(default_factory=dict)
    created: Created | None = None
    outcome: Outcome | None = None
    stuck: bool = False
    suspect: str = ""
    job: ObservedJob | None = None
    local: Local = Local()

    @property
    def epoch(self) -> int:
        """The highest epoch that anybody claimed; 0 for none."""
        return max(self.claims, default=0)

    @property
    def sealed(self) -> Sealing:
        """Why this attempt is closed to further epochs; empty while it is open."""
        top = self.claims.get(self.epoch)
        return top.claim.sealed if top is not None else ""

    @property
    def rendered_epoch(self) -> int:
        """The epoch whose rendering counts: its job's, else the newest that meant to send."""
        if self.created is not None:
            return self.created.epoch
        return max((e for e, c in self.claims.items() if not c.claim.sealed), default=0)

    def with_local(self, **changes: Any) -> AttemptState:
        """The same attempt with something more done by this process."""
        return replace(self, local=replace(self.local, **changes))


@dataclass(frozen=True, slots=True)
class ShardState:
    """A shard: its plan, its attempts by path, and whether it is settled.

    `settled` is of this `generation`; `previous` is the settlement before a redrive that is not
    settled yet.
    """

    plan: ShardPlan
    attempts: Mapping[str, AttemptState]
    generation: int = 0
    settled: Settled | None = None
    previous: Settled | None = None
    redrive: Redrive | None = None
    part: str = ""
    reject_part: str = ""
    reject_codes: Mapping[str, int] = field(default_factory=dict)

    def with_attempt(self, attempt: AttemptState) -> ShardState:
        """The same shard with one attempt replaced or added."""
        return replace(self, attempts={**self.attempts, attempt.path: attempt})
