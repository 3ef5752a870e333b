"""Actions of the state machine: each is one operation on one seam.

One operation each, so that a process may die between any two, and `decide` sees what was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reembed.core.records import Created, Need, Outcome, Sealing, Settled


@dataclass(frozen=True, slots=True)
class Wait:
    """Clock: nothing to do before `until` (seconds of the local clock)."""

    until: float


@dataclass(frozen=True, slots=True)
class Finished:
    """End of a shard: it is settled."""

    settled: Settled


@dataclass(frozen=True, slots=True)
class Defer:
    """Leave the shard unsettled in this call; a later one goes on.

    With `fails`, only once the user has decided what `reason` asks, and the call fails for it.
    """

    reason: str
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Creating stops for the whole run; `reason` is shown to the user."""

    attempt: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReloadRecords:
    """Ledger: list this shard's records again, with the ages of its claims and the stop record."""

    attempt: str


@dataclass(frozen=True, slots=True)
class RefreshReservations:
    """Ledger: read the reservation log to its tail, and the stop record, for all that wait."""

    attempt: str


@dataclass(frozen=True, slots=True)
class MakeClaim:
    """Ledger: create `<attempt>.e<epoch>.claim` if absent; with `sealed`, no epoch may follow."""

    attempt: str
    epoch: int
    sealed: Sealing = ""


@dataclass(frozen=True, slots=True)
class ReleaseClaim:
    """Ledger: create `<attempt>.e<epoch>.void`: nothing was sent."""

    attempt: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ledger: append a `reserve` line to the reservation log if it still fits."""

    attempt: str
    epoch: int
    need: Need


@dataclass(frozen=True, slots=True)
class Release:
    """Ledger: append a `void` or `end` line to the reservation log."""

    attempt: str
    epoch: int
    kind: str


@dataclass(frozen=True, slots=True)
class ListJobs:
    """Service: list the remote jobs once, for all attempts that search theirs."""

    attempt: str


@dataclass(frozen=True, slots=True)
class Fence:
    """Service: delete the input file of a lower epoch, so that its holder can create no more."""

    attempt: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Storage: render the attempt's requests into a local file; record what cannot be sent."""

    attempt: str
    epoch: int
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """Service: send the input file of this epoch."""

    attempt: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Create:
    """Service: create the batch job; sent once."""

    attempt: str
    epoch: int
    inline: bool


@dataclass(frozen=True, slots=True)
class RecordCreated:
    """Ledger: write `<attempt>.created`."""

    attempt: str
    created: Created


@dataclass(frozen=True, slots=True)
class Poll:
    """Service: get the job."""

    attempt: str
    job: str


@dataclass(frozen=True, slots=True)
class Join:
    """Service and storage: join the job's answers as they come, write their rows and errors.

    Gives the outcome. Nothing is written before the whole answer was there and was trusted.
    """

    attempt: str
    job: str


@dataclass(frozen=True, slots=True)
class ClassifyFailure:
    """Storage: read the manifest to say what follows where there are no answers.

    `why`: ``ended`` (the job ended without them, or nothing could be rendered), ``stopped`` (the
    user wants no more jobs), ``split`` (too large for what the service takes, or a piece fits
    what is left of the quota).
    """

    attempt: str
    why: Literal["ended", "stopped", "split"] = "ended"


@dataclass(frozen=True, slots=True)
class MarkStuck:
    """Ledger: write `<attempt>.stuck`: this job is cancelled to be sent again."""

    attempt: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Service: ask for a job's end."""

    attempt: str
    job: str


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """Ledger: write `<attempt>.outcome`."""

    attempt: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class DeleteInput:
    """Service: delete the input file of a job that has ended and whose rows are durable."""

    attempt: str
    file: str


@dataclass(frozen=True, slots=True)
class WritePart:
    """Storage: merge the rows of all attempts into the shard's part."""


@dataclass(frozen=True, slots=True)
class WriteRejects:
    """Storage: write the rejects of the plan and of all attempts."""


@dataclass(frozen=True, slots=True)
class RecordSettled:
    """Ledger: write `settled.g<n>`."""

    settled: Settled


Action = (
    Wait
    | Finished
    | Defer
    | Halt
    | ReloadRecords
    | RefreshReservations
    | MakeClaim
    | ReleaseClaim
    | Reserve
    | Release
    | ListJobs
    | Fence
    | Prepare
    | Upload
    | Create
    | RecordCreated
    | Poll
    | Join
    | ClassifyFailure
    | MarkStuck
    | Cancel
    | RecordOutcome
    | DeleteInput
    | WritePart
    | WriteRejects
    | RecordSettled
)
