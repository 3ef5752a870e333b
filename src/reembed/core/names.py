"""Derived names: partitions, shards, attempts, parts, jobs, files, wire keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

PARTITION_ITEMS = 20_000

# For fields of records that become part of a file's name: nothing that could lead elsewhere. In
# the validator's own dialect `$` is the end of the text and nothing else.
ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
SHARD_PATTERN = r"^[0-9]{8}-[0-9]{6}$"
ATTEMPT_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9}){0,99}$"

# For `fullmatch`: `$` would let a line end through, and `\d` the digits of other scripts.
_SHARD = re.compile(r"([0-9]{8})-([0-9]{6})")
_ATTEMPT = re.compile(r"[0-9]+(\.[0-9]+)*")
_KEY = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,8})")


def partition_of(index: int) -> int:
    """Return the partition of a source index: 20,000 positions each."""
    return index // PARTITION_ITEMS


def partition_id(partition: int) -> str:
    """Format a partition as text that sorts."""
    return f"{partition:08}"


def shard_id(partition: int, seq: int) -> str:
    """Name a shard; name order is input order."""
    return f"{partition:08}-{seq:06}"


def split_shard_id(shard: str) -> tuple[str, str]:
    """Split a shard's name into the texts of its partition and its sequence number.

    Raises:
        ValueError: `shard` is no shard's name.
    """
    match = _SHARD.fullmatch(shard)
    if match is None:
        raise ValueError(f"{shard!r} is not the name of a shard (<partition:08>-<seq:06>)")
    return match.group(1), match.group(2)


def is_shard(text: str) -> bool:
    """Tell whether the text is a shard's name."""
    return _SHARD.fullmatch(text) is not None


def partitions_of(shards: Iterable[str]) -> list[str]:
    """List the partitions, as sorted text, that shards lie in."""
    return sorted({split_shard_id(shard)[0] for shard in shards})


def part_name(commit: int, shard: str) -> str:
    """Name the file of a shard's rows or rejects; name order is input order within a commit."""
    return f"part-{commit:04}-{shard}.parquet"


def child(attempt: str, number: int) -> str:
    """Name an attempt's child: its retry, or a piece of its split."""
    return f"{attempt}.{number}"


def parent_of(attempt: str) -> str:
    """Return the attempt that this one continues; empty for a root."""
    return attempt.rpartition(".")[0]


def depth(attempt: str) -> int:
    """Count the attempts above this one."""
    return attempt.count(".")


def generation_of(attempt: str) -> int:
    """Return the settlement generation whose root this attempt descends from."""
    return int(attempt.split(".", 1)[0])


def is_attempt(text: str) -> bool:
    """Tell whether the text is an attempt's path, such as ``0`` or ``0.3.0``."""
    return _ATTEMPT.fullmatch(text) is not None


def is_child(path: str, parent: str) -> bool:
    """Tell whether an attempt's path is that of a child of `parent`."""
    return is_attempt(path) and path.rpartition(".")[0] == parent


def attempt_order(attempt: str) -> tuple[int, ...]:
    """Sort key of attempts: parents before children, siblings by number."""
    return tuple(int(step) for step in attempt.split("."))


class JobName(NamedTuple):
    """Fields of a remote job's display name; `fingerprint` is cut to 16 characters."""

    run: str
    shard: str
    attempt: str
    fingerprint: str


def display_name(run: str, shard: str, attempt: str, fingerprint: str) -> str:
    """Name a remote job, so that it is found again when the answer to its creation was lost."""
    return "/".join(JobName(run, shard, attempt, fingerprint[:16]))


def parse_display_name(name: str) -> JobName | None:
    """Split a display name into its fields; None when it has not the form of ours."""
    fields = name.split("/")
    return JobName(*fields) if len(fields) == 4 else None


def input_file_name(prefix: str, run: str, shard: str, attempt: str, epoch: int) -> str:
    """Name an input file: the service's prefix and 36 characters; repeatable.

    Gemini takes at most 40 characters of ``a-z0-9-`` after ``files/``.
    """
    digest = hashlib.sha256(f"{run}/{shard}/{attempt}/{epoch}".encode()).hexdigest()
    return f"{prefix}re-{run[:8]}-{digest[:24]}"


def is_input_file(prefix: str, run: str, name: str) -> bool:
    """Tell whether `input_file_name` gives this name in this run."""
    start = re.escape(f"{prefix}re-{run[:8]}-")
    return re.fullmatch(rf"{start}[0-9a-f]{{24}}", name) is not None


def wire_key(fingerprint: str, ordinal: int) -> str:
    """Name a request on the wire; with the fingerprint in it, no answer of another job joins."""
    return f"{fingerprint[:8]}-{ordinal}"


def parse_wire_key(key: str) -> tuple[str, int] | None:
    """Read the fingerprint and ordinal of a key; None when `wire_key` did not make it."""
    match = _KEY.fullmatch(key)
    return (match.group(1), int(match.group(2))) if match else None
