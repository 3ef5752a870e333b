"""A storage that counts calls, lets them gather as slow ones would, or does something first."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from reembed.storage.base import Stat, Storage
from support.waiting import DEADLINE

# What one page of a listing holds (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
PAGE = 1000


class CountingStorage:
    """Each call and each page of a listing counts one, and is told to `before`.

    `counts` are by what was called; `max_concurrent` is the most calls that ever ran side by side.
    Calls of other threads than the one that made it wait for each other until `gather` are there.
    """

    def __init__(
        self,
        inner: Storage,
        gather: int = 0,
        before: Callable[[str, str], None] = lambda call, uri: None,
    ) -> None:
        self.inner, self.before = inner, before
        self.counts: Counter[str] = Counter()
        self.max_concurrent = self._now = 0
        self._gather, self._made_by = gather, threading.get_ident()
        self._came = threading.Condition()

    def _call(self, name: str, uri: str) -> None:
        with self._came:
            self.counts[name] += 1
            self._now += 1
            self.max_concurrent = max(self.max_concurrent, self._now)
            self._came.notify_all()
        self.before(name, uri)
        with self._came:
            if threading.get_ident() != self._made_by:
                self._wait_for_others(name)
            self._now -= 1

    def _wait_for_others(self, name: str) -> None:
        came = self._came.wait_for(lambda: self.max_concurrent >= self._gather, DEADLINE)
        assert came, f"{name}: {self.max_concurrent} calls side by side, not {self._gather}"

    def create(self, uri: str, data: bytes) -> Stat:
        self._call("create", uri)
        return self.inner.create(uri, data)

    def put(self, uri: str, data: bytes) -> Stat:
        self._call("put", uri)
        return self.inner.put(uri, data)

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        self._call("publish", uri)
        return self.inner.publish(path, uri, replace=replace)

    def read(self, uri: str) -> bytes:
        self._call("read", uri)
        return self.inner.read(uri)

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        self._call("open", uri)
        return self.inner.open(uri, generation)

    def stat(self, uri: str) -> Stat:
        self._call("stat", uri)
        return self.inner.stat(uri)

    def list(self, prefix: str) -> Iterator[Stat]:
        self._call("list", prefix)
        for number, stat in enumerate(self.inner.list(prefix)):
            if number and number % PAGE == 0:
                self._call("list", prefix)
            yield stat

    def delete(self, uri: str) -> None:
        self._call("delete", uri)
        self.inner.delete(uri)

    def now(self, scratch_uri: str) -> float:
        self._call("now", scratch_uri)
        return self.inner.now(scratch_uri)
