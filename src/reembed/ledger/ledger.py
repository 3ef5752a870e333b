"""Ledger of one commit: write-once records, roll-ups, and the records of a shard."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from reembed.core.names import partitions_of
from reembed.core.records import (
    Claim,
    Created,
    Outcome,
    Record,
    Redrive,
    Renewal,
    Rollup,
    RollupReopened,
    Settled,
    StopLift,
    StopRequest,
    StuckJob,
    Suspect,
    Unsent,
    Void,
)
from reembed.errors import AlreadyExistsError
from reembed.ledger.layout import (
    NamedRecord,
    folder_of,
    open_claims,
    parse_records,
    relevant_records,
    settled_in,
)
from reembed.ledger.run_dir import RunDir
from reembed.ledger.validate import validate_record, validate_rollup
from reembed.machine.snapshot import ShardRecords, records_of, rollup_of
from reembed.storage.parallel import MAX_CONCURRENT, in_parallel

_NAME = re.compile(r"([0-9]{8})\.g([0-9]+)(\.open)?")


@dataclass(frozen=True, slots=True)
class RolledUpPartitions:
    """Roll-ups that were written, and the newest generation that reopened each partition."""

    opened: Mapping[str, int]
    written: frozenset[tuple[str, int]]

    def generation(self, partition: str) -> int:
        """Least generation of a roll-up of the partition that counts; 0 if never reopened."""
        return self.opened.get(partition, 0)

    def holds(self, partition: str) -> bool:
        """Tell whether a roll-up replaces the partition's own records."""
        return (partition, self.generation(partition)) in self.written


def read_rolled_up(run_dir: RunDir, commit: int, partition: str = "") -> RolledUpPartitions:
    """List the roll-ups of a run, or of one partition."""
    opened: dict[str, int] = {}
    written: set[tuple[str, int]] = set()
    for stat in run_dir.storage.list(run_dir.layout.rollups(commit, partition)):
        match = _NAME.fullmatch(stat.uri.rsplit("/", 1)[1])
        if match is None:
            continue
        name, generation = match.group(1), int(match.group(2))
        if match.group(3):
            opened[name] = max(opened.get(name, 0), generation)
        else:
            written.add((name, generation))
    return RolledUpPartitions(opened, frozenset(written))


R = TypeVar("R", bound=Record)
# Partitions that are read together: enough for every thread, little in memory.
_PARTITIONS = 8 * MAX_CONCURRENT
# A job that is there, where nobody asks which.
_UNREAD = Created(job="", display_name="", epoch=0)


class Ledger:
    """Records of one commit under `run_dir`, each created if absent and never changed.

    Args:
        run_dir: where the records lie.
        commit: the number of the commit.
        holder: who writes, for the scratch object that reads the storage's clock.
        max_concurrent: threads that list and read where there is much to read.
    """

    def __init__(
        self,
        run_dir: RunDir,
        commit: int,
        holder: str,
        max_concurrent: int = MAX_CONCURRENT,
    ) -> None:
        self.run_dir, self.commit, self.holder = run_dir, commit, holder
        self.storage, self.layout = run_dir.storage, run_dir.layout
        self._at_once = max_concurrent
        # By folder and name; records never change once written, so each is read once.
        self._read: defaultdict[str, dict[str, bytes]] = defaultdict(dict)

    def claim(self, shard: str, attempt: str, claim: Claim) -> bool:
        """Claim an epoch of an attempt; False when somebody else was first."""
        return self._create(self._name(shard, f"{attempt}.e{claim.epoch}.claim"), claim)

    def renew(self, shard: str, attempt: str, epoch: int, count: int) -> None:
        """Record that the holder of a claim is alive."""
        name = self._name(shard, f"{attempt}.e{epoch}.r{count}")
        self._create(name, Renewal(holder=self.holder))

    def void(self, shard: str, attempt: str, epoch: int, reason: str) -> None:
        """Record that nothing was sent in an epoch."""
        self._create(self._name(shard, f"{attempt}.e{epoch}.void"), Void(reason=reason))

    def unsent(self, shard: str, attempt: str, epoch: int, unsent: Unsent) -> Unsent:
        """Record what could not be rendered; the first record of an epoch stands."""
        return self._first(self._name(shard, f"{attempt}.e{epoch}.unsent"), unsent)

    def read_unsent(self, shard: str, attempt: str, epoch: int) -> Unsent:
        """Read which requests could not be rendered in an epoch; empty where none was recorded."""
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
        self._create(self._name(shard, f"{attempt}.stuck"), StuckJob())

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
        """Read all records of a shard, with the ages of claims where one is open."""
        prefix = self.layout.shard_records(self.commit, shard)
        named = list(parse_records(self.storage.list(prefix)))
        pending = open_claims(named)
        return self._records(named, self.storage_now() if pending else 0.0)

    def load_partition(self, partition: str, ages: bool = True) -> dict[str, ShardRecords]:
        """Read the records of all shards of a partition that have any, by one listing.

        Without `ages` nothing is written to read the storage's clock, and claims have age 0.
        """
        # Before the listing: a renewal that it does not show can only make a claim younger.
        now = self.storage_now() if ages else 0.0
        return self._read_records(self._names([partition], None), now, False)

    def load(
        self, shards: Iterable[str], ages: bool = False, brief: bool = False
    ) -> Iterator[tuple[str, ShardRecords]]:
        """Read the records of those of the shards that have any, in order.

        The roll-ups are listed first; only partitions without one are listed themselves. Of shards
        that are settled there are the settlement and how each attempt ended, no claims.

        Args:
            shards: the shards asked for.
            ages: read the storage's clock for the ages of claims, which are 0 otherwise.
            brief: read less: of a settled shard its settlement alone, of an open one no claims,
                and of its jobs that they are there.
        """
        wanted = set(shards)
        yield from self.load_partitions(partitions_of(wanted), ages, brief, wanted)

    def load_partitions(
        self,
        partitions: Iterable[str],
        ages: bool = False,
        brief: bool = False,
        among: Collection[str] | None = None,
    ) -> Iterator[tuple[str, ShardRecords]]:
        """Read by partitions, all shards in them or those `among` these; see `load`."""
        now = self.storage_now() if ages else 0.0
        standing = read_rolled_up(self.run_dir, self.commit)
        rest = iter(sorted(partitions))
        while batch := list(islice(rest, _PARTITIONS)):
            rolled = [partition for partition in batch if standing.holds(partition)]
            listed = [partition for partition in batch if not standing.holds(partition)]
            names = self._names(listed, among, {partition[:-1] for partition in rolled})
            found = {**self._rolled(rolled, standing), **self._read_records(names, now, brief)}
            yield from ((s, found[s]) for s in sorted(found) if among is None or s in among)

    def roll_up(self, partition: str, shards: Sequence[str], generation: int) -> bool:
        """Write the roll-up of a partition once all its shards are settled; whether it stands now.

        A redrive opens the partition first, then writes its shards' records, then the run's. In a
        run of `generation` g all redrives up to g can be listed, and a partition that was opened
        beyond g is left alone: its redrive may still be on its way.

        Args:
            partition: which.
            shards: every shard that the plan has in it.
            generation: the run's, read before this call.
        """
        standing = read_rolled_up(self.run_dir, self.commit, partition)
        ours = standing.generation(partition)
        if standing.holds(partition) or ours > generation:
            return standing.holds(partition)
        names = self._names([partition], set(shards))
        if any(settled_in(names.get(shard, ())) is None for shard in shards):
            return False
        rollup = rollup_of(shards, self._read_records(names, 0.0, False), ours)
        if rollup is None:
            return False
        self._create(self.layout.rollup(self.commit, partition, ours), rollup)
        for shard in shards:
            self._read.pop(self.layout.shard_records(self.commit, shard), None)
        return True

    def roll_up_all(self, partitions: Mapping[str, Sequence[str]], generation: int) -> None:
        """Write the roll-ups that are due and missing.

        Args:
            partitions: every shard that the plan has, by partition.
            generation: the run's, read before this call.
        """
        standing = read_rolled_up(self.run_dir, self.commit)
        missing = [partition for partition in partitions if not standing.holds(partition)]

        each = max(1, self._at_once // max(1, len(missing)))

        def write(partition: str) -> bool:
            one = Ledger(self.run_dir, self.commit, self.holder, each)
            return one.roll_up(partition, partitions[partition], generation)

        in_parallel(write, missing, self._at_once)

    def reopen(self, partition: str, generation: int) -> None:
        """Record that rejects of a partition are sent again: its older roll-ups are stale."""
        name = self.layout.rollup_opening(self.commit, partition, generation)
        self._create(name, RollupReopened())

    def stopped(self) -> bool:
        """Tell whether the newest of the stop and lift records is a stop."""
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
        record = StopLift(reason=reason) if kind == "lift" else StopRequest(reason=reason)
        self._create(f"{prefix}{kind}.{number}", record)

    def storage_now(self) -> float:
        """Read the storage's own clock, in seconds."""
        return self.storage.now(self.layout.clock(self.holder))

    def _rolled(
        self, partitions: Sequence[str], standing: RolledUpPartitions
    ) -> dict[str, ShardRecords]:
        def read(partition: str) -> Rollup:
            name = self.layout.rollup(self.commit, partition, standing.generation(partition))
            found = Rollup.decode(self.storage.read(name), name)
            return validate_rollup(found, partition, name, self.layout, self.commit)

        rollups = in_parallel(read, partitions, self._at_once)
        return {
            shard: records_of(one) for rollup in rollups for shard, one in rollup.shards.items()
        }

    def _names(
        self,
        partitions: Sequence[str],
        among: Collection[str] | None,
        mixed: Collection[str] | None = None,
    ) -> dict[str, list[NamedRecord]]:
        """List the names of all records in these partitions, by shard.

        Ten neighbours are listed together unless they are `mixed` with others; None: never.
        """
        tens = {partition[:-1] for partition in partitions}
        together = tens.difference(mixed) if mixed is not None else set()
        prefixes = sorted({s[:-1] if s[:-1] in together else f"{s}/" for s in partitions})

        def listed(prefix: str) -> list[NamedRecord]:
            return list(
                parse_records(self.storage.list(self.layout.all_records(self.commit) + prefix))
            )

        by_shard: dict[str, list[NamedRecord]] = {}
        for found in in_parallel(listed, prefixes, self._at_once):
            for stat, name in found:
                _, partition, seq, _ = stat.uri.rsplit("/", 3)
                shard = f"{partition}-{seq}"
                if among is None or shard in among:
                    by_shard.setdefault(shard, []).append((stat, name))
        return by_shard

    def _read_records(
        self, names: Mapping[str, list[NamedRecord]], now: float, brief: bool
    ) -> dict[str, ShardRecords]:
        """Read the records of shards whose names are known, all at once."""
        wanted = {shard: relevant_records(named, brief) for shard, named in sorted(names.items())}
        unread = {"created"} if brief else set()
        self._fetch(
            stat.uri
            for named in wanted.values()
            for stat, name in named
            if name.is_read and name.kind not in unread
        )
        return {shard: self._records(named, now, brief) for shard, named in wanted.items()}

    def _fetch(self, uris: Iterable[str]) -> None:
        missing = [uri for uri in uris if uri not in self._read[folder_of(uri)]]
        for uri, data in zip(
            missing, in_parallel(self.storage.read, missing, self._at_once), strict=True
        ):
            self._read[folder_of(uri)][uri] = data

    def _records(
        self, named: Sequence[NamedRecord], now: float, brief: bool = False
    ) -> ShardRecords:
        claims: dict[str, dict[int, Claim]] = {}
        created: dict[str, Created] = {}
        outcomes: dict[str, Outcome] = {}
        newest: dict[tuple[str, int], float] = {}
        voids: set[tuple[str, int]] = set()
        stuck: set[str] = set()
        suspects: dict[str, str] = {}
        redrives: dict[int, Redrive] = {}
        settled: Settled | None = None
        for stat, name in named:
            if name.kind == "claim":
                claims.setdefault(name.attempt, {})[name.epoch] = self._decode(stat.uri, Claim)
            if name.kind == "claim" or name.is_renewal:
                spot = (name.attempt, name.epoch)
                newest[spot] = max(newest.get(spot, 0.0), stat.created)
            elif name.kind == "void":
                voids.add((name.attempt, name.epoch))
            elif name.kind == "created":
                job = _UNREAD if brief else self._decode(stat.uri, Created)
                created[name.attempt] = job
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
        # Void ones beside open ones too: each was claimed on a scan for those before it.
        pending = {attempt for attempt, _ in open_claims(named)}
        old = {spot: max(0.0, now - at) for spot, at in newest.items() if spot[0] in pending}
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
        data = record.encode()
        try:
            self.storage.create(name, data)
        except AlreadyExistsError:
            return False
        self._read[folder_of(name)][name] = data
        return True

    def _first(self, name: str, record: R) -> R:
        """Create a record, or return the one that exists; this object where it was the first."""
        return record if self._create(name, record) else self._decode(name, type(record))

    def _decode(self, name: str, kind: type[R]) -> R:
        folder = self._read[folder_of(name)]
        if name not in folder:
            folder[name] = self.storage.read(name)
        return validate_record(kind.decode(folder[name], name), name, self.layout, self.commit)
