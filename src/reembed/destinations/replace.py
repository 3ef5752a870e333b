"""Rule of publishing: which older rows are replaced by a run's rows, or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

import pyarrow as pa

_NAMES = ("key", "content_hash", "part")


@dataclass(frozen=True, slots=True)
class OlderRows:
    """Outcome for a table of older rows: a mask of those that stay, and counts of the others."""

    keep: pa.BooleanArray
    replaced: int
    deleted: int

    @property
    def all_stay(self) -> bool:
        """True where no row is replaced or deleted."""
        return not self.replaced and not self.deleted


@dataclass(frozen=True, slots=True)
class Replacement:
    """Rows that a run wrote, as far as they decide which older rows stay.

    `contents` has the content hash of each key that was written, `parts` its written parts;
    `removed` are keys that the source no longer has.
    """

    contents: Mapping[str, str]
    parts: Set[tuple[str, int]]
    removed: Set[str]

    @classmethod
    def by(cls, fresh: Iterable[pa.Table], removed: Iterable[str]) -> Replacement:
        """Gather the rows of a run: tables with the columns key, content_hash and part."""
        contents: dict[str, str] = {}
        parts: set[tuple[str, int]] = set()
        for table in fresh:
            keys, hashes, numbers = (table.column(name).to_pylist() for name in _NAMES)
            # An input has one content, so every part of a key brings the same hash.
            contents.update(zip(keys, hashes, strict=True))
            parts.update(zip(keys, numbers, strict=True))
        return cls(contents, parts, frozenset(removed))

    def apply(self, older: pa.Table) -> OlderRows:
        """Decide about older rows (the same three columns)."""
        keys = older.column("key").to_pylist()
        if not any(key in self.contents or key in self.removed for key in keys):
            return OlderRows(pa.array([True] * len(keys), pa.bool_()), 0, 0)
        rest = (older.column(name).to_pylist() for name in _NAMES[1:])
        replaced = [self._is_replaced(*row) for row in zip(keys, *rest, strict=True)]
        deleted = [k in self.removed and not r for k, r in zip(keys, replaced, strict=True)]
        keep = [not (r or d) for r, d in zip(replaced, deleted, strict=True)]
        return OlderRows(pa.array(keep, pa.bool_()), sum(replaced), sum(deleted))

    def _is_replaced(self, key: str, content: str, part: int) -> bool:
        """Tell whether a row's key was written with other content, or in this very part.

        A row of equal content whose part was not written stays: the plan left that part out
        because this row has it.
        """
        if key not in self.contents:
            return False
        return self.contents[key] != content or (key, part) in self.parts
