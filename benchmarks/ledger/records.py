"""Where a ledger's records go: to the disk, timed, or into memory; data goes to the disk."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import GeneratorType
from typing import Any

from reembed.errors import AlreadyExistsError, ObjectNotFoundError
from reembed.storage.base import Stat, Storage


class Timed:
    """Any object; calls of its methods are counted, their time added up over all threads."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.cpu = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                found = method(*arguments, **named)
                # A generator works when it is read.
                return iter(list(found)) if isinstance(found, Iterator | GeneratorType) else found
            finally:
                with self._lock:
                    self.calls[name] += 1
                    self.seconds[name] += time.perf_counter() - wall
                    self.cpu += time.thread_time() - cpu

        return call if callable(method) else method


class Memory:
    """What the ledger asks of a storage, in a dictionary."""

    def __init__(self) -> None:
        self._records: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def create(self, uri: str, data: bytes) -> Stat:
        with self._lock:
            if uri in self._records:
                raise AlreadyExistsError(uri)
            self._records[uri] = data, time.time()
        return self._stat(uri)

    def put(self, uri: str, data: bytes) -> Stat:
        self._records[uri] = data, time.time()
        return self._stat(uri)

    def read(self, uri: str) -> bytes:
        if uri not in self._records:
            raise ObjectNotFoundError(uri)
        return self._records[uri][0]

    def list(self, prefix: str) -> Iterator[Stat]:
        with self._lock:
            names = sorted(uri for uri in self._records if uri.startswith(prefix))
        return (self._stat(uri) for uri in names)

    def now(self, scratch_uri: str) -> float:
        return time.time()

    def _stat(self, uri: str) -> Stat:
        data, created = self._records[uri]
        return Stat(uri, len(data), created, "1")


class Split:
    """A storage that sends what lies under ``ledger/`` one way and all else another."""

    def __init__(self, data: Storage, records: Any) -> None:
        self._data, self._records = data, records

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            # `publish` has its name second.
            names = [given for given in arguments[:2] if isinstance(given, str)]
            seam = self._records if "/run/ledger/" in names[0] else self._data
            return getattr(seam, name)(*arguments, **named)

        return call
