"""Interface to objects and files: disk and Cloud Storage behind one small protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Stat:
    """Object as a listing shows it.

    `uri` is absolute (a path or ``gs://…``). `created` is the time of creation in seconds since
    the epoch **by the storage's own clock**: leases are measured by it, since the clocks of two
    workers may differ by more than a lease. `generation` names this very state of the object;
    `checksum` is ``crc32c:<base64>``, ``md5:<base64>``, or empty where the storage keeps none.
    """

    uri: str
    size: int
    created: float
    generation: str
    checksum: str = ""


class Storage(Protocol):
    """Objects under absolute names; every write appears whole or not at all.

    The ledger rests on two of these operations: `create` lets exactly one of many callers win a
    name, and `list` never leaves out what was created before it began.
    """

    def create(self, uri: str, data: bytes) -> Stat:
        """Write a small object only if its name is free.

        Raises:
            AlreadyExistsError: another caller was first; its bytes stay.
        """

    def put(self, uri: str, data: bytes) -> Stat:
        """Write a small object, replacing what has the name."""

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        """Make a local file appear under `uri`, whole; the local file may be consumed (linked).

        Args:
            path: a finished local file.
            uri: the name to appear under.
            replace: None: only if the name is free. Otherwise the generation it must replace.

        Raises:
            AlreadyExistsError: the name is taken, or has another generation.
        """

    def read(self, uri: str) -> bytes:
        """Read a small object.

        Raises:
            ObjectNotFoundError: it is not there.
        """

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        """Open for reading, seekable, reading only the ranges asked for.

        Raises:
            ObjectNotFoundError: it is not there, or has another generation by now.
        """

    def stat(self, uri: str) -> Stat:
        """Describe one object, as a listing does.

        Raises:
            ObjectNotFoundError: it is not there.
        """

    def list(self, prefix: str) -> Iterator[Stat]:
        """List everything whose name starts with `prefix` (a plain string prefix), by name.

        Whole or not at all: a listing that cannot be completed raises. Records that a partial
        one left out would look like work that was never begun, and be paid again.
        """

    def delete(self, uri: str) -> None:
        """Delete an object; no error where there is none."""

    def now(self, scratch_uri: str) -> float:
        """Read the storage's own clock, in seconds: the creation time of an object just written."""
