"""The seam to objects and files: disk and Cloud Storage behind one small protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Stat:
    """An object as a listing shows it.

    `uri` is absolute (a path or ``gs://…``). `created` is the time of creation in seconds since
    the epoch **by the storage's own clock**. `generation` names this very state of the object;
    `checksum` is ``crc32c:<base64>``, ``md5:<base64>``, or empty where the storage keeps none.
    """

    uri: str
    size: int
    created: float
    generation: str
    checksum: str = ""


class Storage(Protocol):
    """Whole objects under absolute names; every write is whole or not there at all."""

    def create(self, uri: str, data: bytes) -> Stat:
        """Write a small object only if its name is free.

        Raises:
            AlreadyExistsError: somebody else was first; their bytes stand.
        """

    def put(self, uri: str, data: bytes) -> Stat:
        """Write a small object, replacing what is there."""

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        """Make a local file appear under `uri`, whole; the local file may be consumed (linked).

        Args:
            path: a finished local file.
            uri: the name to appear under.
            replace: None: only if the name is free. Otherwise the generation it must replace.

        Raises:
            AlreadyExistsError: the name is taken (or its generation is another).
        """

    def read(self, uri: str) -> bytes:
        """Read a small object.

        Raises:
            ObjectNotFoundError: it is not there.
        """

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        """Open for reading, seekable, reading only the ranges asked for.

        Raises:
            ObjectNotFoundError: it is not there, or not in this generation any more.
        """

    def stat(self, uri: str) -> Stat:
        """What a listing would say of one object.

        Raises:
            ObjectNotFoundError: it is not there.
        """

    def list(self, prefix: str) -> Iterator[Stat]:
        """Everything whose name starts with `prefix` (a plain string prefix), sorted by name."""

    def delete(self, uri: str) -> None:
        """Remove; no error when it is gone already."""

    def now(self, scratch_uri: str) -> float:
        """The storage's own clock, in seconds: the creation time of a record just written."""
