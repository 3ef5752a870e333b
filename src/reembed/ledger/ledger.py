"""The ledger of one commit: write-once records, and what they say of a shard."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import TypeVar

from reembed.core.machine.records import (
    Claim,
    Created,
    Outcome,
    Record,
    Redrive,
    Renewal,
    Settled,
    Stop,
    Suspect,
    Unsent,
    Void,
)
from reembed.core.machine.snapshot import ShardRecords
from reembed.core.names import stripes_of
from reembed.errors import AlreadyExistsError
from reembed.ledger.layout import Layout, RecordName, parse_record
from reembed.storage.base import Stat, Storage

R = TypeVar("R", bound=Record)


class Ledger:
    """Records of one commit under `run_dir`, each created if absent and never changed.

    Args:
        storage: where the records lie.
        layout: their names.
        commit: the number of the commit.
        holder: who writes, for the scratch object that reads the storage's clock.
    """

    def __init__(self, storage: Storage, layout: Layout, commit: int, holder: str) -> None:
        self.storage, self.layout, self.commit, self.holder = storage, layout, commit, holder
        self._read: dict[str, bytes] = {}

    def claim(self, shard: str, attempt: str, claim: Claim) -> bool:
        """Claim an epoch of an attempt; False when somebody else was first."""
        return self._create(self._name(shard, f"{attempt}.e{claim.epoch}.claim"), claim)

    def renew(self, shard: str, attempt: str, epoch: int, count: int) -> None:
        """Say that the holder of a claim is alive."""
        name = self._name(shard, f"{attempt}.e{epoch}.r{count}")
        self._create(name, Renewal(holder=self.holder))

    def void(self, shard: str, attempt: str, epoch: int, reason: str) -> None:
        """Say that nothing was sent in an epoch."""
        self._create(self._name(shard, f"{attempt}.e{epoch}.void"), Void(reason=reason))

    def unsent(self, shard: str, attempt: str, epoch: int, unsent: Unsent) -> Unsent:
        """Record what could not be rendered; the first record of an epoch stands."""
        return self._first(self._name(shard, f"{attempt}.e{epoch}.unsent"), unsent)

    def read_unsent(self, shard: str, attempt: str, epoch: int) -> Unsent:
        """What could not be rendered in an epoch; empty where nothing was recorded."""
        name = self._name(shard, f"{attempt}.e{epoch}.unsent")
        stats = list(self.storage.list(name))
        return self._decode(name, Unsent) if stats else Unsent(requests={})

    def created(self, shard: str, attempt: str, created: Created) -> Created:
        """Record an attempt's job; the record that stands is returned and wins."""
        return self._first(self._name(shard, f"{attempt}.created"), created)

    def outcome(self, shard: str, attempt: str, outcome: Outcome) -> Outcome:
        """Record how a job ended; the record that stands is returned and wins."""
        return self._first(self._name(shard, f"{attempt}.outcome"), outcome)

    def mark_stuck(self, shard: str, attempt: str) -> None:
        """Record that an attempt's job is cancelled in order to be sent again."""
        self._create(self._name(shard, f"{attempt}.stuck"), Stop(reason="stuck"))

    def suspect(self, shard: str, attempt: str, reason: str) -> None:
        """Record that an attempt's answer cannot be trusted, or is gone."""
        self._create(self._name(shard, f"{attempt}.suspect"), Suspect(reason=reason))

    def redrive(self, shard: str, generation: int, redrive: Redrive) -> Redrive:
        """Record that rejects of a shard are sent again; the record that stands is returned."""
        return self._first(self._name(shard, f"redrive.g{generation}"), redrive)

    def settle(self, shard: str, settled: Settled) -> Settled:
        """Record that a shard is settled; the record that stands is returned."""
        return self._first(self._name(shard, f"settled.g{settled.generation}"), settled)

    def look(self, shard: str) -> ShardRecords:
        """Everything the ledger holds of a shard, with the ages of its open claims."""
        prefix = self.layout.shard_records(self.commit, shard)
        return self._records(list(self.storage.list(prefix)))

    def load_stripe(self, stripe: str, ages: bool = True) -> dict[str, ShardRecords]:
        """The records of all shards of a stripe that have any, by one listing.

        Without `ages` nothing is written to read the storage's clock, and claims have age 0.
        """
        prefix = self.layout.stripe_records(self.commit, stripe)
        by_shard: dict[str, list[Stat]] = {}
        for stat in self.storage.list(prefix):
            seq = stat.uri[len(prefix) :].split("/", 1)[0]
            by_shard.setdefault(f"{stripe}-{seq}", []).append(stat)
        return {shard: self._records(stats, ages) for shard, stats in sorted(by_shard.items())}

    def load(self, shards: Iterable[str], ages: bool = False) -> Iterator[tuple[str, ShardRecords]]:
        """The records of those of the shards that have any, in order, by a listing a stripe."""
        wanted = set(shards)
        for stripe in stripes_of(wanted):
            for shard, records in self.load_stripe(stripe, ages).items():
                if shard in wanted:
                    yield shard, records

    def settled_in(self, stripe: str, shards: Container[str]) -> Iterator[Settled]:
        """The settlement of each shard of a stripe that is settled now, by one listing."""
        prefix = self.layout.stripe_records(self.commit, stripe)
        newest: dict[str, tuple[int, str]] = {}
        asked: dict[str, int] = {}
        for stat, name in _named(self.storage.list(prefix)):
            shard = f"{stripe}-{stat.uri[len(prefix) :].split('/', 1)[0]}"
            if name.kind == "settled" and shard in shards:
                newest[shard] = max(newest.get(shard, (-1, "")), (name.epoch, stat.uri))
            elif name.kind == "redrive":
                asked[shard] = max(asked.get(shard, 0), name.epoch)
        for shard, (generation, uri) in newest.items():
            if generation >= asked.get(shard, 0):
                yield self._decode(uri, Settled)

    def stopped(self) -> bool:
        """Whether the newest of the stop and lift records is a stop."""
        newest = (0, "")
        for stat in self.storage.list(self.layout.stops(self.commit)):
            kind, _, number = stat.uri.rsplit("/", 1)[1].partition(".")
            if number.isdigit():
                newest = max(newest, (int(number), kind))
        return newest[1] == "stop"

    def stop(self, kind: str, reason: str) -> None:
        """Write the next `stop` or `lift` record."""
        prefix = self.layout.stops(self.commit)
        number = 1 + sum(1 for _ in self.storage.list(prefix))
        self._create(f"{prefix}{kind}.{number}", Stop(reason=reason))

    def storage_now(self) -> float:
        """The storage's own clock, in seconds."""
        return self.storage.now(self.layout.clock(self.holder))

    def _records(self, stats: Iterable[Stat], ages: bool = True) -> ShardRecords:
        claims: dict[str, dict[int, Claim]] = {}
        created: dict[str, Created] = {}
        outcomes: dict[str, Outcome] = {}
        newest: dict[tuple[str, int], float] = {}
        voids: set[tuple[str, int]] = set()
        stuck: set[str] = set()
        suspects: dict[str, str] = {}
        redrives: dict[int, Redrive] = {}
        settled: Settled | None = None
        for stat, name in _named(stats):
            if name.kind == "claim":
                claims.setdefault(name.attempt, {})[name.epoch] = self._decode(stat.uri, Claim)
            if name.kind == "claim" or name.is_renewal:
                spot = (name.attempt, name.epoch)
                newest[spot] = max(newest.get(spot, 0.0), stat.created)
            elif name.kind == "void":
                voids.add((name.attempt, name.epoch))
            elif name.kind == "created":
                created[name.attempt] = self._decode(stat.uri, Created)
            elif name.kind == "outcome":
                outcomes[name.attempt] = self._decode(stat.uri, Outcome)
            elif name.kind == "stuck":
                stuck.add(name.attempt)
            elif name.kind == "suspect":
                suspects[name.attempt] = self._decode(stat.uri, Suspect).reason
            elif name.kind == "redrive":
                redrives[name.epoch] = self._decode(stat.uri, Redrive)
            elif name.kind == "settled" and (settled is None or name.epoch > settled.generation):
                settled = self._decode(stat.uri, Settled)
        ended = created.keys() | outcomes.keys()
        open_claims = {spot for spot in newest if spot[0] not in ended and spot not in voids}
        now = self.storage_now() if open_claims and ages else 0.0
        old = {spot: max(0.0, now - newest[spot]) for spot in open_claims}
        return ShardRecords(
            claims,
            old,
            frozenset(voids),
            created,
            outcomes,
            stuck=frozenset(stuck),
            suspects=suspects,
            settled=settled,
            redrives=redrives,
        )

    def _name(self, shard: str, name: str) -> str:
        return self.layout.shard_records(self.commit, shard) + name

    def _create(self, name: str, record: Record) -> bool:
        try:
            self.storage.create(name, record.encode())
        except AlreadyExistsError:
            return False
        return True

    def _first(self, name: str, record: R) -> R:
        return record if self._create(name, record) else self._decode(name, type(record))

    def _decode(self, name: str, kind: type[R]) -> R:
        # Records never change once written, so each is read once.
        if name not in self._read:
            self._read[name] = self.storage.read(name)
        return kind.decode(self._read[name], name)


def _named(stats: Iterable[Stat]) -> Iterable[tuple[Stat, RecordName]]:
    for stat in stats:
        name = parse_record(stat.uri.rsplit("/", 1)[1])
        if name is not None:
            yield stat, name
