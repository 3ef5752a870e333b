"""Ledger's records: write-once JSON objects, each with a schema version."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reembed.core.names import ATTEMPT_PATTERN, ID_PATTERN, SHARD_PATTERN
from reembed.errors import OtherVersionError, RunFailedError

# Schema of every record. It is raised when a record's fields or their meaning change: a run
# directory is read by the version that wrote it, or refused, never misread.
SCHEMA: Final = 2
# Earlier schemas, and the version of this program that wrote them.
WRITERS: Final = {1: "0.1.0"}

# The state of an outcome without a job.
NOT_SENT = "NOT_SENT"

Ranges = tuple[tuple[int, int], ...]
# These become parts of file names.
Id = Annotated[str, Field(pattern=ID_PATTERN)]
ShardName = Annotated[str, Field(pattern=SHARD_PATTERN)]
AttemptPath = Annotated[str, Field(pattern=ATTEMPT_PATTERN)]


class Record(BaseModel):
    """Base of every record; an unknown schema version is refused, an unknown field is kept out."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    version: Literal[2] = Field(default=SCHEMA, alias="schema")

    def encode(self) -> bytes:
        """Return the bytes that are written, the same for the same values."""
        body = self.model_dump(mode="json", by_alias=True)
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, data: bytes, name: str) -> Self:
        """Read a record back.

        Raises:
            OtherVersionError: an earlier version wrote it.
            RunFailedError: it is not one, or of a version that this program does not know.
        """
        try:
            body = orjson.loads(data)
            # Before the fields are looked at: those of an earlier version may fit by chance, and
            # would then say something else than they did.
            schema = body.get("schema") if isinstance(body, dict) else None
            if isinstance(schema, int) and schema in WRITERS:
                raise OtherVersionError(name, WRITERS[schema], schema)
            return cls.model_validate(body)
        except (orjson.JSONDecodeError, ValidationError) as err:
            raise RunFailedError(
                f"{name}: not a {cls.__name__} record that reembed can read; it may be damaged, or "
                "written by another version: use the version that wrote it"
            ) from err


class Need(BaseModel):
    """Most that one attempt takes of the budget and of the project's quotas."""

    model_config = ConfigDict(frozen=True)

    usd_nano: int = 0
    tokens: int = 0
    jobs: int = 0
    input_bytes: int = 0
    result_bytes: int = 0


Sealing = Literal["", "ended", "stopped", "split"]


class Claim(Record):
    """`<attempt>.e<epoch>.claim`: a holder is about to create this attempt's job.

    A `sealed` claim says the opposite, for good: no epoch may follow it, and whoever sees it
    adopts what the lower epochs created, else ends the attempt as not sent: because nothing could
    be rendered (``ended``), because the user wants no more jobs (``stopped``), or because it goes
    on in smaller attempts (``split``).
    """

    holder: str
    epoch: int
    sealed: Sealing = ""


class Renewal(Record):
    """`<attempt>.e<epoch>.r<k>`: the holder is alive and still preparing."""

    holder: str


class Void(Record):
    """`<attempt>.e<epoch>.void`: nothing was sent in this epoch, for certain."""

    reason: str


class Unsent(Record):
    """`<attempt>.e<epoch>.unsent`: ordinals that could not be rendered, with code and message."""

    requests: dict[int, tuple[str, str]]


class Created(Record):
    """`<attempt>.created`: the remote job that serves this attempt.

    `made_for` names the attempt above whose job it is, where that ended well after all; empty
    where the job was made for this attempt.
    """

    job: str
    display_name: str
    epoch: int
    input_file: str = ""
    create_time: str = ""
    adopted: bool = False
    made_for: str = ""


class Child(BaseModel):
    """Child attempt: the ordinals it sends, and what that takes at most."""

    model_config = ConfigDict(frozen=True)

    ordinals: Ranges
    need: Need


class Suspect(Record):
    """`<attempt>.suspect`: its answer cannot be trusted, or is gone.

    Creating stops for the whole run until the user accepts to pay again.
    """

    reason: str


class Outcome(Record):
    """`<attempt>.outcome`: how the job ended and what follows; read, never computed again.

    `children` says which ordinals go on as which attempts, after `delay_seconds`. `rows_uri` and
    `errors_uri` are empty when there are none.
    """

    state: str
    job: str
    end_time: str = ""
    rows: int = 0
    rejects: int = 0
    rows_uri: str = ""
    errors_uri: str = ""
    tokens: dict[str, int] = {}
    children: dict[AttemptPath, Child] = {}
    delay_seconds: float = 0.0
    cause: str = ""


class Redrive(Record):
    """`redrive.g<n>`: requests that ended as rejects are sent again, as generation n.

    `chunks` rejects belong to `sent`.
    """

    sent: Child
    chunks: int


class Settled(Record):
    """`settled.g<n>`: every chunk of the shard is a row, a reject, or skipped."""

    generation: int
    planned: int
    rows: int
    rejects: int
    skipped: int = 0
    part: str = ""
    reject_part: str = ""
    jobs: int = 0
    attempts: int = 0
    tokens: dict[str, int] = {}
    reject_codes: dict[str, int] = {}


class ReservationLine(Record):
    """`spend/<seq>`: one line of the gap-free log of money and quotas.

    `reserve` takes `need` for an attempt; `void` gives all of it back; `end` gives back tokens,
    the job and the input file, keeps the dollars, and keeps the result bytes until `retained_until`
    (seconds, by the storage's clock). `refused` records a 429 at the storage's time `at`: the
    `quota` that it most likely met (``file``: it came to an upload), and what others had `in_use`
    before, all file bytes of it in `in_use.result_bytes`. `total_usd_nano` is the running total
    after this line.
    """

    kind: Literal["reserve", "void", "end", "refused"]
    attempt: str
    epoch: int
    need: Need = Need()
    retained_until: float = 0.0
    total_usd_nano: int = 0
    quota: Literal["tokens", "jobs", "file"] = "tokens"
    in_use: Need = Need()
    at: float = 0.0
    retry_after: float | None = None


class StopRequest(Record):
    """`stop.<k>`: the user wants no more jobs created."""

    reason: str = ""


class StopLift(Record):
    """`lift.<k>`: jobs may be created again, whatever stops were written before."""

    reason: str = ""


class StuckJob(Record):
    """`<attempt>.stuck`: its job is cancelled in order to be sent again."""


class RollupReopened(Record):
    """`rollups/<partition>.g<n>.open`: roll-ups of the partition below generation n are stale."""


class RunRedrive(Record):
    """`redrive.g<n>` of a run: every shard of generation n has its own redrive record."""


class RunPublished(Record):
    """`published.g<n>` of a run: the destination has taken generation n."""


class RolledAttempt(BaseModel):
    """Remains of an attempt's outcome: its state, and its job, empty where it had none."""

    model_config = ConfigDict(frozen=True)

    state: str
    job: str = ""


class RolledShard(BaseModel):
    """Settled shard: its settlement, and its attempts by path."""

    model_config = ConfigDict(frozen=True)

    settled: Settled
    attempts: dict[AttemptPath, RolledAttempt] = {}


class Rollup(Record):
    """`rollups/<partition>.g<n>`: a settled partition in one record, so that a reader lists little.

    It stands for the partition's own records until a `rollups/<partition>.g<m>.open` with m > n
    says that rejects of it are sent again.
    """

    generation: int
    shards: dict[ShardName, RolledShard]


class RunSettled(Record):
    """`settled.g<n>` of a run: every shard is settled, the counts close, and here they are."""

    shards: int
    rows: int
    rejects: int
    jobs: int


class Notified(Record):
    """`notified/g<n>.<mark>.<channel>`: people were told; `id` is that of the notice."""

    id: str
    channel: str


class Merge(Record):
    """`merge.g<n>` of a run: what its MERGE was estimated to read, and whose rows it deletes.

    `size` is in bytes; `removed` rows have keys that the source no longer has.
    """

    job: str
    size: int
    removed: int


class Cutover(Record):
    """`cutovers/<n>`: a view is pointed from one query at another.

    Written before the view is set: it says `before` or `after`. An empty `before` means that
    there was no view, an empty `after` that it is removed.
    """

    kind: Literal["cutover", "rollback"]
    view: str
    before: str
    after: str
    run: str


class Commit(Record):
    """`commit.<n>`: selects one plan; nothing is created before it.

    `max_usd` is the cap that was approved; a later call may give another, and without one this
    holds.
    """

    number: int = Field(ge=1)
    run: Id
    plan: Id
    digest: str
    planned: int
    items: int
    frozen: dict[str, Any]
    key_salt: str
    key_hash: str
    max_usd: float | None = None


def ranges_of(ordinals: list[int]) -> Ranges:
    """Sorted ordinals as half-open ranges."""
    out: list[tuple[int, int]] = []
    for ordinal in sorted(ordinals):
        if out and out[-1][1] == ordinal:
            out[-1] = (out[-1][0], ordinal + 1)
        else:
            out.append((ordinal, ordinal + 1))
    return tuple(out)


def ordinals_of(ranges: Ranges) -> list[int]:
    """Half-open ranges as sorted ordinals."""
    return [ordinal for start, end in ranges for ordinal in range(start, end)]
