"""A linearisable object store in virtual time, and each process's way to it."""

from __future__ import annotations

import io
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.ledger.layout import parse_record
from reembed.storage.base import Stat
from simulation.kernel import Kernel, Process

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """An object: bytes, and when it came to be by the store's own clock."""

    data: bytes
    created: float
    generation: str


# Is told the name, the bytes, those that stood there before, and whose write it was.
Watch = Callable[[str, bytes, bytes | None, Process | None], None]


class Disk:
    """The objects themselves; `watch` is told each write once it has happened."""

    def __init__(self, kernel: Kernel, offset: float) -> None:
        self.kernel, self.offset = kernel, offset
        self.objects: dict[str, Held] = {}
        self.watch: Watch = lambda uri, data, before, by: None
        self._names: list[str] = []
        self._writes = 0

    def now(self) -> float:
        """The store's clock."""
        return self.kernel.now + self.offset

    def write(self, uri: str, data: bytes, replace: bool | str, by: Process | None = None) -> Stat:
        """Put an object in place; `replace` names the state that it may replace, or says any."""
        held = self.objects.get(uri)
        if held is not None and replace is not True and replace != held.generation:
            raise AlreadyExistsError(f"{uri} exists")
        if held is None and isinstance(replace, str):
            raise AlreadyExistsError(f"{uri} is not in generation {replace}")
        self._writes += 1
        if held is None:
            insort(self._names, uri)
        self.objects[uri] = Held(data, self.now(), f"w{self._writes}")
        self.watch(uri, data, held.data if held is not None else None, by)
        return self.stat(uri)

    def place(self, uri: str, data: bytes, generation: str) -> None:
        """Put an object there that was there before everything, in a state of a given name."""
        insort(self._names, uri)
        self.objects[uri] = Held(data, self.now(), generation)

    def remove(self, uri: str) -> None:
        """Delete an object, if it is there."""
        if self.objects.pop(uri, None) is not None:
            del self._names[bisect_left(self._names, uri)]

    def under(self, prefix: str) -> list[str]:
        """The names that begin with a prefix, in order."""
        first = bisect_left(self._names, prefix)
        last = bisect_left(self._names, prefix + "\U0010ffff", lo=first)
        return self._names[first:last]

    def get(self, uri: str) -> Held:
        """Find an object."""
        if uri not in self.objects:
            raise ObjectNotFoundError(f"{uri} is not there")
        return self.objects[uri]

    def stat(self, uri: str) -> Stat:
        """Describe an object."""
        held = self.get(uri)
        return Stat(uri, len(held.data), held.created, held.generation)


_FOLDERS = (
    *("spend", "folds", "rollups", "stop", "clock", "vectors", "rejects", "work"),
    *("quarantine", "corpus"),
)


@lru_cache(100_000)
def kind_of(uri: str) -> str:
    """What an object is, for the table of faults."""
    name = uri.rsplit("/", 1)[-1]
    record = parse_record(name)
    if record is not None:
        return "renewal" if record.kind.startswith("r") else record.kind
    for kind in _FOLDERS:
        if f"/{kind}/" in uri:
            return kind
    return "manifest" if name.endswith(".parquet") else "records"


class SimStorage:
    """`Storage` for one process: every call goes through the scheduler."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk, self._process = disk, process

    def create(self, uri: str, data: bytes) -> Stat:
        return self._write("create", uri, data, False)

    def put(self, uri: str, data: bytes) -> Stat:
        return self._write("put", uri, data, True)

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        stat = self._write("publish", uri, path.read_bytes(), replace or False)
        path.unlink()
        return stat

    def read(self, uri: str) -> bytes:
        # Records never change: it is only of one that is not there yet that the moment counts.
        light = uri in self._disk.objects
        return self._call(f"read {kind_of(uri)}", uri, lambda: self._disk.get(uri).data, light)

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        def effect() -> bytes:
            held = self._disk.get(uri)
            if generation and held.generation != generation:
                raise ObjectNotFoundError(f"{uri} is in another state than {generation}")
            return held.data

        return io.BytesIO(self._call(f"open {kind_of(uri)}", uri, effect))

    def stat(self, uri: str) -> Stat:
        return self._call(f"stat {kind_of(uri)}", uri, lambda: self._disk.stat(uri))

    def list(self, prefix: str) -> Iterator[Stat]:
        def effect() -> list[Stat]:
            if "/stop/" in prefix:
                self._process.looked = self._disk.kernel.now
            self._process.looks[prefix] = self._disk.kernel.now
            return [self._disk.stat(uri) for uri in self._disk.under(prefix)]

        return iter(self._call(f"list {kind_of(prefix)}", prefix, effect))

    def delete(self, uri: str) -> None:
        self._call(f"delete {kind_of(uri)}", uri, lambda: self._disk.remove(uri))

    def now(self, scratch_uri: str) -> float:
        def effect() -> float:
            self._disk.write(scratch_uri, b"", True, self._process)
            return self._disk.now()

        return self._call("now clock", scratch_uri, effect)

    def _write(self, verb: str, uri: str, data: bytes, replace: bool | str) -> Stat:
        def effect() -> Stat:
            return self._disk.write(uri, data, replace, self._process)

        return self._call(f"{verb} {kind_of(uri)}", uri, effect)

    def _call(self, op: str, uri: str, effect: Callable[[], T], light: bool = False) -> T:
        def error() -> BaseException:
            return StorageError(f"{op}: the storage did not answer for {uri}")

        kernel = self._disk.kernel
        before, after = {"storage_error": error}, {"storage_lost_reply": error}
        return kernel.call(self._process, op, effect, before, after, light)
