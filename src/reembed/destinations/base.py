"""Interface of a destination: the rows it has, and publishing those of a settled run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from reembed.ledger.layout import Layout
from reembed.storage.base import Storage
from reembed.storage.parallel import in_parallel

# What decides whether an input is there already. `content_hash` covers model, dimensions, task.
EXISTING = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("parts", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class SettledRun:
    """What is to be taken over: the parts of commit number `commit`, `rows` rows in all.

    `generation` grows with every redrive, which replaces parts.
    """

    commit: int
    run: str
    generation: int
    rows: int


@dataclass(frozen=True, slots=True)
class Published:
    """What taking over a run came to.

    `inserted`, `replaced` and `deleted` count rows; `details` are facts for the report, as JSON
    has them (bytes and dollars of a MERGE, names of tables and jobs).
    """

    inserted: int = 0
    replaced: int = 0
    deleted: int = 0
    details: dict[str, Any] = field(default_factory=dict)


class Destination(Protocol):
    """One destination of one configuration."""

    def check(self) -> None:
        """Refuse, before anything is paid, what could not take the rows at the end.

        Raises:
            UsageError: it holds another model's vectors, has other columns, or may not be
                written.
        """

    def identity(self) -> Iterator[bytes]:
        """What names its present state: the same state gives the same bytes."""

    def existing(self) -> Iterator[pa.RecordBatch]:
        """Every row it holds, schema `EXISTING`, in any order."""

    def rows(self, keys: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """The whole rows (schema `core.schema.ROW`) of some keys, in any order."""

    def publish(self, settled: SettledRun, removed: Iterable[str]) -> Published:
        """Take over the rows of a settled run; called again after a crash, it ends the same.

        Of a key that the run wrote, the rows of other content go, and those of the parts that
        it wrote; what the run wrote nothing for stays. The rows of the keys `removed` go in any
        case.

        Raises:
            RunFailedError: it could not be done, with what stands now and the way on.
        """


def drop_older_rejects(storage: Storage, layout: Layout, commit: int) -> None:
    """Remove the rejects of all runs but one: it has looked at every input anew."""
    names = (stat.uri for stat in storage.list(f"{layout.run_dir}/rejects/part-"))
    ours = f"{layout.run_dir}/rejects/part-{commit:04}-"
    in_parallel(storage.delete, [name for name in names if not name.startswith(ours)])
