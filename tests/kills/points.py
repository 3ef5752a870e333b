"""Where a process is killed: at which request or which write, and on which side of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# Of a request: before it is passed on; when half of it was; when the service has answered and the
# client has not heard; when half of the answer was delivered. Of a write: right before and after.
REQUEST_HOWS = ("before", "midway", "after", "within")
WRITE_HOWS = ("before", "after")
TEMPORARY = ".reembed-tmp"


@dataclass(frozen=True, slots=True)
class Point:
    """The `nth` request (or write) of a kind, from 1, and the side of it: one of the hows."""

    what: str
    kind: str
    nth: int
    how: str

    def __str__(self) -> str:
        return f"{self.kind}#{self.nth} {self.how}"

    def is_met_by(self, kind: str, nth: int) -> bool:
        return (self.kind, self.nth) == (kind, nth)


def kind_of_request(method: str, target: str, headers: Any) -> str:
    """One word for what a request asks of the service."""
    path = urlsplit(target).path
    if path.startswith("/upload/"):
        command = headers.get("x-goog-upload-command", "")
        named = {"start": "upload start", "query": "upload query"}
        return named.get(command, "upload bytes")
    if path.endswith(":asyncBatchEmbedContent"):
        return "create"
    if path.endswith(":download"):
        return "download"
    if path.endswith("/batches"):
        return "list"
    if "/batches/" in path:
        return "get" if method == "GET" else "cancel"
    return "delete" if method == "DELETE" else "other"


_OTHERS = (
    (r"ledger/commit\.\d+", "commit"),
    (r"ledger/runs/\d+/settled\.g\d+", "run settled"),
    (r"ledger/runs/\d+/published\.g\d+", "published"),
    (r"ledger/runs/\d+/rollups/.*", "rollup"),
    (r"ledger/runs/\d+/stop/.*", "stop"),
    (r"ledger/runs/\d+/progress/.*", "progress"),
    (r"vectors/.*", "part"),
    (r"rejects/.*", "rejects"),
    (r"work/.*\.rows\.parquet", "attempt rows"),
    (r"work/.*\.rejects\.parquet", "attempt rejects"),
    (r"quarantine/.*", "quarantine"),
    (r"extracted/.*", "extracted"),
    (r"plans/[^/]+/plan\.json", "plan"),
    (r"plans/[^/]+/(listing|shards|partitions|progress)/.*", "plan \\1"),
    (r"report\.json", "report"),
)


def kind_of_write(name: str, data: bytes) -> str:
    """One word for what appears under `name`, relative to the run directory, with this content."""
    if re.fullmatch(r"ledger/runs/\d+/spend/\d+", name):
        return f"spend {json.loads(data)['kind']}"
    if re.fullmatch(r"ledger/runs/\d+/partitions/\d+/\d+/[^/]+", name):
        return _record(name.rsplit("/", 1)[1])
    for pattern, kind in _OTHERS:
        if match := re.fullmatch(pattern, name):
            return match.expand(kind)
    return "other"


def _record(name: str) -> str:
    """``0.e1.claim`` is a claim, ``0.e1.r2`` a renewal, ``settled.g0`` a settlement."""
    last = name.rsplit(".", 1)[1]
    if re.fullmatch(r"r\d+", last):
        return "renewal"
    return name.split(".")[0] if re.fullmatch(r"g\d+", last) else last
