"""State of a shard: the ledger's records, and what this process did or saw itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reembed.core.plans import ShardPlan
from reembed.core.records import Claim, Created, Need, Outcome, Ranges, Redrive, Sealing, Settled


@dataclass(frozen=True, slots=True)
class ClaimState:
    """Claim as it was last read; `age` in seconds by the storage's clock at that moment."""

    claim: Claim
    age: float
    void: bool = False


@dataclass(frozen=True, slots=True)
class ObservedJob:
    """Remote job as the last poll saw it."""

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
    """An outcome that is worked out and not recorded yet: its files are written.

    `anomaly` says why the answer cannot be used; `answer_bytes` were read of it, 0 for none.
    """

    outcome: Outcome
    anomaly: str = ""
    answer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """Local file of request lines; `sent` of them, the others became rejects on the way."""

    path: str
    sent: int
    size: int


@dataclass(frozen=True, slots=True)
class Local:
    """Work of this process for an attempt; gone when it dies, and then found out again.

    Times are of the local clock.

    Attributes:
        epoch: the epoch that this process holds; 0 for none.
        reserved: room is reserved for that epoch.
        fenced_epochs: lower epochs whose input files are deleted, the last at `fenced_at`.
        prepared: the local file of requests.
        uploaded: name of the uploaded input file.
        refusal: why the last reserve, upload or create was refused.
        throttled_at: when the first 429 of this epoch came.
        records_read_at: when the last reading of the shard's records began.
        create_unanswered_since: when a create was sent that was not answered.
        unknown_state_since: since when the job has been in a state that this version does not know.
        claimed_at: when the claim was made.
        pending_outcome: what is to be recorded as the outcome.
        input_deleted: the input file was deleted.
        cancelled: the job was asked to end.
        not_before: nothing is done for the attempt before.
        retry_at: nothing is claimed or sent before.
        failures: calls in a row that failed for now.
        empty_epoch: the epoch, given back since, of which nothing could be rendered.
    """

    epoch: int = 0
    reserved: bool = False
    fenced_epochs: frozenset[int] = frozenset()
    fenced_at: float | None = None
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
    """One attempt to embed requests of a shard, by one job.

    `ordinals` None means all requests, with canaries. `claims` to `suspect` are what the ledger
    says, `job` the service's last answer, `local` what this process did.
    """

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
        """Return the highest epoch that anybody claimed; 0 for none."""
        return max(self.claims, default=0)

    @property
    def sealed(self) -> Sealing:
        """Why no further epoch may follow; empty while one may."""
        top = self.claims.get(self.epoch)
        return top.claim.sealed if top is not None else ""

    @property
    def rendered_epoch(self) -> int:
        """Find the epoch whose rendering counts: its job's, else the newest that meant to send."""
        if self.created is not None:
            return self.created.epoch
        return max((e for e, c in self.claims.items() if not c.claim.sealed), default=0)

    def with_local(self, **changes: Any) -> AttemptState:
        """Copy the attempt with something more done by this process."""
        return replace(self, local=replace(self.local, **changes))


@dataclass(frozen=True, slots=True)
class ShardState:
    """State of a shard: its plan, its attempts by path, and whether it is settled.

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
        """Copy the shard with one attempt replaced or added."""
        return replace(self, attempts={**self.attempts, attempt.path: attempt})
