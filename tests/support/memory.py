"""A storage in memory for millions of small objects, with listings that look at no others."""

from __future__ import annotations

import io
import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from reembed.errors import AlreadyExistsError, ObjectNotFoundError
from reembed.storage.base import Stat

# The storage's clock: all objects are of one moment, so that ages are 0.
NOW = 1_800_000_000.0


class MemoryStorage:
    """`Storage` over a dictionary; safe among threads."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._names: list[str] = []
        self._lock = threading.Lock()
        self._writes = 0

    def plant(self, objects: Mapping[str, bytes]) -> None:
        """Put many objects there at once."""
        with self._lock:
            self._objects.update(objects)
            self._names = sorted(self._objects)

    def size(self) -> tuple[int, int]:
        """Objects, and their bytes."""
        return len(self._objects), sum(map(len, self._objects.values()))

    def create(self, uri: str, data: bytes) -> Stat:
        with self._lock:
            if uri in self._objects:
                raise AlreadyExistsError(uri)
            insort(self._names, uri)
            self._objects[uri] = data
        return self.stat(uri)

    def put(self, uri: str, data: bytes) -> Stat:
        with self._lock:
            if uri not in self._objects:
                insort(self._names, uri)
            self._objects[uri] = data
        return self.stat(uri)

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        data = path.read_bytes()
        path.unlink()
        return self.create(uri, data) if replace is None else self.put(uri, data)

    def read(self, uri: str) -> bytes:
        try:
            return self._objects[uri]
        except KeyError:
            raise ObjectNotFoundError(uri) from None

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        return io.BytesIO(self.read(uri))

    def stat(self, uri: str) -> Stat:
        return Stat(uri, len(self.read(uri)), NOW, "1")

    def list(self, prefix: str) -> Iterator[Stat]:
        with self._lock:
            first = bisect_left(self._names, prefix)
            last = bisect_left(self._names, prefix + "\U0010ffff", lo=first)
            names = self._names[first:last]
        return map(self.stat, names)

    def delete(self, uri: str) -> None:
        with self._lock:
            if self._objects.pop(uri, None) is not None:
                del self._names[bisect_left(self._names, uri)]

    def now(self, scratch_uri: str) -> float:
        self.put(scratch_uri, b"")
        return NOW
