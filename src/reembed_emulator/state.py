"""The state folder: records as JSON, written whole or not at all, and the bytes beside them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeVar

import orjson

Record = TypeVar("Record")

SCHEMA = 1


class StateFolder:
    """Keep records and bytes under one folder, which a restarted emulator reads again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in ("files", "uploads", "jobs"):
            (root / kind).mkdir(parents=True, exist_ok=True)

    @property
    def journal(self) -> Path:
        """Return the path of the request journal."""
        return self.root / "requests.jsonl"

    def data(self, kind: str, name: str, suffix: str) -> Path:
        """Return the path of the bytes that belong to a record."""
        return self.root / kind / f"{name}.{suffix}"

    def save(self, kind: str, name: str, record: Any) -> None:
        """Write a record; a reader sees the old one or the new one."""
        self._write(self.root / kind / f"{name}.json", dataclasses.asdict(record))

    def remove(self, kind: str, name: str, *suffixes: str) -> None:
        """Delete a record first, then its bytes, so that no record lacks them."""
        for suffix in ("json", *suffixes):
            self.data(kind, name, suffix).unlink(missing_ok=True)

    def load(self, kind: str, make: type[Record]) -> list[Record]:
        """Read all records of a kind, in the order of their names."""
        paths = sorted((self.root / kind).glob("*.json"))
        return [make(**orjson.loads(path.read_bytes())) for path in paths]

    def offset(self) -> float:
        """Return how far the clock was moved forward, in seconds.

        Raises:
            ValueError: The folder was written in a form that this version does not know.
        """
        path = self.root / "state.json"
        if not path.exists():
            self.save_offset(0.0)
        state = orjson.loads(path.read_bytes())
        if state.get("schema") != SCHEMA:
            raise ValueError(
                f"{path} has schema {state.get('schema')}, this version reads {SCHEMA}: "
                "give another state folder"
            )
        return float(state["offset"])

    def save_offset(self, offset: float) -> None:
        """Keep how far the clock was moved forward."""
        self._write(self.root / "state.json", {"schema": SCHEMA, "offset": offset})

    def _write(self, path: Path, value: dict[str, Any]) -> None:
        temporary = path.with_suffix(".json.tmp")
        temporary.write_bytes(orjson.dumps(value))
        os.replace(temporary, path)
