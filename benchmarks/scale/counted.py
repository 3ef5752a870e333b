"""A storage that counts what Cloud Storage would be asked, by operation and kind of object."""

from __future__ import annotations

import threading
from collections import Counter
from io import BytesIO
from typing import Any, BinaryIO

from reembed.ledger.layout import parse_record
from reembed.storage.ranges import open_ranges
from support.counting import CountingStorage

# https://cloud.google.com/storage/pricing#operations-by-class: writes and listings, and reads.
# Deletions are free. Reading the clock is a write.
CLASS_A = frozenset({"create", "put", "publish", "list", "now"})
CLASS_B = frozenset({"read", "stat", "range"})
# A call to Cloud Storage, and how many go side by side where the program reads many.
CALL_SECONDS, MAX_CONCURRENT = 0.05, 64

_FOLDERS = (
    "spend", "folds", "progress", "clock", "stop", "rollups", "vectors", "rejects", "work",
    "shards", "listing", "held", "keys",
)  # fmt: skip


class Counted(CountingStorage):
    """Counts by operation and kind; tells calls made one by one from those of the pools."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.alone = 0

    def _call(self, name: str, uri: str) -> None:
        with self._came:
            self.counts[name] += 1
            self.kinds[name, kind_of(uri)] += 1
            self.alone += not threading.current_thread().name.startswith("reembed-read")

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        self._call("stat", uri)
        with self.inner.open(uri, generation) as stream:
            data = stream.read()

        def fetch(start: int, end: int) -> bytes:
            self._call("range", uri)
            return data[start:end]

        return open_ranges(fetch, len(data)) if data else BytesIO()

    @property
    def waits(self) -> float:
        """Seconds that the calls would take on a storage that is `CALL_SECONDS` away."""
        pooled = sum(self.counts.values()) - self.alone
        return CALL_SECONDS * (self.alone + pooled / MAX_CONCURRENT)

    @property
    def classes(self) -> tuple[int, int]:
        """Operations of class A and of class B."""
        every = self.counts.items()
        return (
            sum(count for name, count in every if name in CLASS_A),
            sum(count for name, count in every if name in CLASS_B),
        )


def kind_of(uri: str) -> str:
    """What an object is."""
    record = parse_record(uri.rsplit("/", 1)[-1])
    if record is not None:
        return "renewal" if record.is_renewal else record.kind
    for folder in _FOLDERS:
        if f"/{folder}/" in uri:
            return folder
    return "partitions"
