"""Open the storage of a name by its scheme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reembed.storage.base import Stat, Storage
from reembed.storage.local import LocalStorage
from reembed.storage.names import is_gs


def open_storage(uri: str = "") -> Storage:
    """Return the storage of `uri`; without one, a storage that chooses by each name.

    Raises:
        UsageError: a scheme that is neither a local path nor ``gs://``.
    """
    return _chosen(uri) if uri else AnyStorage()


@dataclass(frozen=True, slots=True)
class AnyStorage:
    """Disk and Cloud Storage as one: each call goes to the storage of its name."""

    def create(self, uri: str, data: bytes) -> Stat:
        """Write a small object only if its name is free (see `Storage.create`)."""
        return _chosen(uri).create(uri, data)

    def put(self, uri: str, data: bytes) -> Stat:
        """Write a small object, replacing what has the name (see `Storage.put`)."""
        return _chosen(uri).put(uri, data)

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        """Make a local file appear under `uri`, whole (see `Storage.publish`)."""
        return _chosen(uri).publish(path, uri, replace=replace)

    def read(self, uri: str) -> bytes:
        """Read a small object (see `Storage.read`)."""
        return _chosen(uri).read(uri)

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        """Open for reading in ranges (see `Storage.open`)."""
        return _chosen(uri).open(uri, generation)

    def stat(self, uri: str) -> Stat:
        """Describe one object (see `Storage.stat`)."""
        return _chosen(uri).stat(uri)

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield everything whose name starts with `prefix`, sorted (see `Storage.list`)."""
        return _chosen(prefix).list(prefix)

    def delete(self, uri: str) -> None:
        """Delete an object; no error where there is none."""
        _chosen(uri).delete(uri)

    def now(self, scratch_uri: str) -> float:
        """Read the clock of the storage that holds `scratch_uri` (see `Storage.now`)."""
        return _chosen(scratch_uri).now(scratch_uri)


def _chosen(uri: str) -> Storage:
    if not is_gs(uri):
        return LocalStorage()
    # Imported when needed: half a second that a run on a disk saves.
    from reembed.storage.gcs import GcsStorage

    return GcsStorage()
