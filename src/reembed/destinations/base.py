"""Interface of a destination: its existing rows, and publishing a settled run to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from reembed.config.base import Section
from reembed.config.schema import Config
from reembed.ledger.run_dir import RunDir
from reembed.storage.parallel import in_parallel

# Columns that decide whether an input is there already. `content_hash` covers the content, the
# version of its format, the model, the dimensions and the task, so rows of another model or of an
# older chunking never count.
EXISTING = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("parts", pa.int32(), nullable=False),
    ]
)

# Called with a sentence for the user.
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SettledRun:
    """Run whose shards are all settled, to be published.

    `commit` is its number, which its part files carry in their names; `rows` counts the rows of
    all of them. `generation` grows with every redrive, which replaces parts.
    """

    commit: int
    run: str
    generation: int
    rows: int


@dataclass(frozen=True, slots=True)
class Published:
    """Result of publishing a run, for the report.

    `inserted`, `replaced` and `deleted` count rows; `details` are further facts, as JSON has them
    (for instance bytes and dollars of a MERGE, names of tables and jobs).
    """

    inserted: int = 0
    replaced: int = 0
    deleted: int = 0
    details: dict[str, Any] = field(default_factory=dict)


class Destination(Protocol):
    """One destination of one configuration."""

    def check(self) -> None:
        """Refuse a destination that could not take the rows; called before anything is paid.

        Raises:
            UsageError: it has another model's vectors, other columns, or may not be written.
        """

    def identity(self) -> Iterator[bytes]:
        """Name its present state: the same state gives the same bytes.

        A part of the plan's id. Were it to miss a change, a standing plan would be kept that
        leaves out rows which the destination has lost since.
        """

    def existing(self) -> Iterator[pa.RecordBatch]:
        """Read every row it has, by the columns of `EXISTING`, in any order."""

    def rows(self, keys: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """Read the whole rows (schema `core.schema.ROW`) of some keys, in any order."""

    def publish(self, settled: SettledRun, removed: Iterable[str]) -> Published:
        """Take the rows of a settled run; called again after a crash, the result is the same.

        Of a key that the run wrote, older rows of other content are replaced, and those of the
        parts that it wrote; a key that it wrote nothing for keeps its rows (`replace` has this
        rule as a function). The rows of the keys `removed` are deleted in any case.

        Raises:
            RunFailedError: it could not be done; says what stands now and how to go on.
        """


@dataclass(frozen=True, slots=True)
class DestinationKind:
    """Entry of the table `DESTINATIONS`.

    `open` makes the destination of a configuration; its third argument takes reports of what is
    about to cost money. `section` is the model of the kind's section below ``destination:``; None
    for the kinds of this package, whose sections are fields of `DestinationConfig`.
    """

    open: Callable[[Config, RunDir, Report], Destination]
    section: type[Section] | None = None


def drop_older_rejects(run_dir: RunDir, commit: int) -> None:
    """Delete the rejects of all runs but one: that one has looked at every input again.

    Called before a run is published, whatever the destination.
    """
    ours = run_dir.layout.parts("rejects", commit)
    names = (stat.uri for stat in run_dir.reject_parts())
    in_parallel(run_dir.storage.delete, [name for name in names if not name.startswith(ours)])
