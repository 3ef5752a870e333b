"""A storage and an empty folder in it, for tests that run on several storages."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.storage.base import Storage


@dataclass(frozen=True)
class Place:
    """`root` is a path or ``gs://…`` without a slash at its end."""

    storage: Storage
    root: str

    def at(self, name: str) -> str:
        return f"{self.root}/{name}"
