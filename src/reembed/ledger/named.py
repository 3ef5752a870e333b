"""What the names of a shard's records say by themselves, before any is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reembed.ledger.layout import RecordName, parse_record
from reembed.storage.base import Stat

Named = tuple[Stat, RecordName]
# The records of an attempt that still count once its shard is settled.
_OF_SETTLED = ("created", "outcome")
_OF_OPEN = ("created", "outcome", "redrive", "settled")


def folder_of(name: str) -> str:
    """The prefix under which a record lies: one for each shard."""
    return name.rsplit("/", 1)[0] + "/"


def parsed(stats: Iterable[Stat]) -> Iterator[Named]:
    """Take the names of a listing apart; what is no record is passed over."""
    for stat in stats:
        name = parse_record(stat.uri.rsplit("/", 1)[1])
        if name is not None:
            yield stat, name


def open_claims(named: Iterable[Named]) -> set[tuple[str, int]]:
    """Claims that may still lead to a job: of attempts that have none, and not void."""
    names = [name for _, name in named]
    ended = {name.attempt for name in names if name.kind in ("created", "outcome")}
    voids = {(name.attempt, name.epoch) for name in names if name.kind == "void"}
    claimed = {
        (name.attempt, name.epoch) for name in names if name.kind == "claim" or name.is_renewal
    }
    return {spot for spot in claimed - voids if spot[0] not in ended}


def settled_in(named: Iterable[Named]) -> int | None:
    """The generation in which a shard is settled, by the names alone; None when it is open."""
    newest = {"settled": -1, "redrive": 0}
    for _, name in named:
        if name.kind in newest:
            newest[name.kind] = max(newest[name.kind], name.epoch)
    return newest["settled"] if newest["settled"] >= newest["redrive"] else None


def telling(named: list[Named], brief: bool = False) -> list[Named]:
    """The records of a shard that still say something: of a settled one, few do.

    `brief`: those that tell its counts, or which attempts it has and which of them have jobs.
    """
    generation = settled_in(named)
    if generation is None:
        return [(stat, name) for stat, name in named if not brief or name.kind in _OF_OPEN]
    return [
        (stat, name)
        for stat, name in named
        if (name.kind == "settled" and name.epoch == generation)
        or (not brief and name.kind in _OF_SETTLED)
    ]
