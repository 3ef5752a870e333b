"""A linearisable object store in virtual time, and each process's way to it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


class Disk:
    """The objects themselves; `watch` is told each write once it has happened."""

    def __init__(self, kernel: Kernel, offset: float) -> None:
        self.kernel, self.offset = kernel, offset
        self.objects: dict[str, Held] = {}
        self.watch: Callable[[str, bytes], None] = lambda uri, data: None
        self._writes = 0

    def now(self) -> float:
        """The store's clock."""
        return self.kernel.now + self.offset

    def write(self, uri: str, data: bytes, replace: bool | str) -> Stat:
        """Put an object in place."""
        held = self.objects.get(uri)
        if held is not None and replace is not True and replace != held.generation:
            raise AlreadyExistsError(f"{uri} exists")
        if held is None and isinstance(replace, str):
            raise AlreadyExistsError(f"{uri} is not in generation {replace}")
        self._writes += 1
        self.objects[uri] = Held(data, self.now(), str(self._writes))
        self.watch(uri, data)
        return self.stat(uri)

    def get(self, uri: str) -> Held:
        """Find an object."""
        if uri not in self.objects:
            raise ObjectNotFoundError(f"{uri} is not there")
        return self.objects[uri]

    def stat(self, uri: str) -> Stat:
        """Describe an object."""
        held = self.get(uri)
        return Stat(uri, len(held.data), held.created, held.generation)


_FOLDERS = ("spend", "folds", "rollups", "stop", "clock", "vectors", "rejects", "work")
_FOLDERS += ("quarantine", "progress")


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
        return self._call(f"create {kind_of(uri)}", uri, lambda: self._disk.write(uri, data, False))

    def put(self, uri: str, data: bytes) -> Stat:
        return self._call(f"put {kind_of(uri)}", uri, lambda: self._disk.write(uri, data, True))

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        data = path.read_bytes()
        stat = self._call(
            f"publish {kind_of(uri)}", uri, lambda: self._disk.write(uri, data, replace or False)
        )
        path.unlink()
        return stat

    def read(self, uri: str) -> bytes:
        return self._call(f"read {kind_of(uri)}", uri, lambda: self._disk.get(uri).data)

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        held = self._call(f"open {kind_of(uri)}", uri, lambda: self._disk.get(uri))
        return io.BytesIO(held.data)

    def stat(self, uri: str) -> Stat:
        return self._call(f"stat {kind_of(uri)}", uri, lambda: self._disk.stat(uri))

    def list(self, prefix: str) -> Iterator[Stat]:
        def effect() -> list[Stat]:
            if "/stop/" in prefix:
                self._process.looked = self._disk.kernel.now
                self._process.froze_since_look = False
            return [self._disk.stat(u) for u in sorted(self._disk.objects) if u.startswith(prefix)]

        return iter(self._call(f"list {kind_of(prefix)}", prefix, effect))

    def delete(self, uri: str) -> None:
        self._call(f"delete {kind_of(uri)}", uri, lambda: self._disk.objects.pop(uri, None))

    def now(self, scratch_uri: str) -> float:
        def effect() -> float:
            self._disk.write(scratch_uri, b"", True)
            return self._disk.now()

        return self._call("now clock", scratch_uri, effect)

    def _call(self, op: str, uri: str, effect: Callable[[], T]) -> T:
        def error() -> BaseException:
            return StorageError(f"{op}: the storage did not answer for {uri}")

        kernel = self._disk.kernel
        before, after = {"storage_error": error}, {"storage_lost_reply": error}
        return kernel.call(self._process, op, effect, before, after)
