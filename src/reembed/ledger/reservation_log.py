"""Reservation log: gap-free, write-once lines that every runner reads before it appends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile

from reembed.core.records import Need, ReservationLine
from reembed.errors import AlreadyExistsError, ObjectNotFoundError
from reembed.ledger.run_dir import RunDir
from reembed.machine.adaptive_quota import likely_quota
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Fold, Reservations
from reembed.storage.parallel import MAX_CONCURRENT, in_parallel

# So many lines from one fold to the next: a new reader reads fewer than these one by one.
FOLD_EVERY = 256
# In a long log a fold is as large as the log is long. So it is written each time that the log has
# grown by about a 64th, and all folds together grow with the log and not with its square.
_FOLDS_A_LENGTH = 64
# Lines that a new reader asks for at once; from then on twice as many each time.
_FIRST_LOOK = 8


def is_folded(lines: int, every: int = FOLD_EVERY) -> bool:
    """Tell whether a fold is written after so many lines; the same for every writer."""
    step = every
    while step * 2 * _FOLDS_A_LENGTH <= lines:
        step *= 2
    return lines > 0 and lines % step == 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer 429: to which need, when by the storage's clock, and its Retry-After.

    `upload`: it came to the upload of a file, not to a create.
    """

    need: Need
    at: float
    retry_after: float | None
    upload: bool = False


class ReservationLog:
    """One commit's log; safe among threads, processes and machines.

    A line is written under the next free number by create-if-absent. Who loses that race reads
    what the winner wrote and decides again, so no two runners can spend the same room. Who writes
    a line whose number `is_folded` also writes the fold of all lines so far: a reader begins with
    the newest fold, and where one is missing, with the one before.

    Args:
        run_dir: where the lines lie.
        commit: the number of the commit.
        max_concurrent: threads that read ahead where many lines are new.
        fold_every: lines from one fold to the next; more in a long log.
    """

    def __init__(
        self,
        run_dir: RunDir,
        commit: int,
        max_concurrent: int = MAX_CONCURRENT,
        fold_every: int = FOLD_EVERY,
    ) -> None:
        self._storage, self._layout, self._commit = run_dir.storage, run_dir.layout, commit
        self._at_once, self._fold_every = max_concurrent, fold_every
        self._reservations: Reservations | None = None
        self._lock = threading.RLock()

    def read(self) -> Reservations:
        """Read the log to its tail, and return its state."""
        with self._lock:
            ahead = 1
            if self._reservations is None:
                self._reservations, ahead = self._newest_fold(), min(_FIRST_LOOK, self._at_once)
            while True:
                first = self._reservations.lines + 1
                new = self._lines(range(first, first + ahead))
                self._reservations = self._reservations.add(*new) if new else self._reservations
                if len(new) < ahead:
                    return self._reservations
                ahead = min(2 * ahead, self._at_once)

    def _newest_fold(self) -> Reservations:
        names = [stat.uri for stat in self._storage.list(self._layout.folds(self._commit))]
        return (
            Fold.decode(self._storage.read(names[-1]), names[-1]).reservations
            if names
            else Reservations()
        )

    def _lines(self, numbers: Iterable[int]) -> list[ReservationLine]:
        """Read the lines of these numbers, up to the first that is not there yet."""
        found = in_parallel(self._line, numbers, self._at_once)
        # A later line may be there although an earlier was not, when it came between the reads.
        return [line for line in takewhile(lambda line: line is not None, found) if line]

    def _line(self, seq: int) -> ReservationLine | None:
        name = self._layout.spend(self._commit, seq)
        try:
            return ReservationLine.decode(self._storage.read(name), name)
        except ObjectNotFoundError:
            return None

    def reserve(
        self, attempt: str, epoch: int, need: Need, quotas: Quotas, now: Callable[[], float]
    ) -> bool:
        """Take room for an attempt; False when it does not fit any more.

        An attempt that holds a reservation already, from an earlier epoch, keeps that one line's
        money; see `Reservations.decide_reserve`. `quotas` are the configured ones: the ceiling is
        applied to them at each try, since another runner may have met a 429 a moment ago.
        """
        with self._lock:
            while True:
                reservations = self.read()
                decision = reservations.decide_reserve(attempt, epoch, need, quotas, now())
                if decision != "append":
                    return decision == "held"
                added = 0 if attempt in reservations.live else need.usd_nano
                total = reservations.usd_nano + added
                line = ReservationLine(
                    kind="reserve", attempt=attempt, epoch=epoch, need=need, total_usd_nano=total
                )
                if self._append(reservations, line):
                    return True

    def release(self, attempt: str, epoch: int, kind: str, retained_until: float) -> None:
        """Give back: `void` all of it, `end` all but the dollars and the result's bytes."""
        with self._lock:
            while True:
                reservations = self.read()
                if attempt not in reservations.live or reservations.holding_epoch(attempt) > epoch:
                    return
                back = reservations.live[attempt][1].usd_nano if kind == "void" else 0
                line = ReservationLine(
                    kind="void" if kind == "void" else "end",
                    attempt=attempt,
                    epoch=epoch,
                    retained_until=retained_until,
                    total_usd_nano=reservations.usd_nano - back,
                )
                if self._append(reservations, line):
                    return

    def record_refusal(self, attempt: str, epoch: int, refusal: Refusal, quotas: Quotas) -> float:
        """Put a 429 on record for every runner, unless it changes nothing in the log's fold.

        Returns:
            Seconds to wait before the like is sent again.
        """
        with self._lock:
            while True:
                reservations = self.read()
                in_use = reservations.reserved_before(attempt, refusal.at)
                line = ReservationLine(
                    kind="refused",
                    attempt=attempt,
                    epoch=epoch,
                    need=refusal.need,
                    total_usd_nano=reservations.usd_nano,
                    quota="file" if refusal.upload else likely_quota(in_use, refusal.need, quotas),
                    in_use=in_use,
                    at=refusal.at,
                    retry_after=refusal.retry_after,
                )
                after = reservations.add(line).ceiling
                if after == reservations.ceiling or self._append(reservations, line):
                    until = after.upload_after if refusal.upload else after.create_after
                    return max(0.0, until - refusal.at)

    def _append(self, reservations: Reservations, line: ReservationLine) -> bool:
        name = self._layout.spend(self._commit, reservations.lines + 1)
        try:
            self._storage.create(name, line.encode())
        except AlreadyExistsError:
            return False
        self._reservations = reservations.add(line)
        if is_folded(self._reservations.lines, self._fold_every):
            self._fold(self._reservations)
        return True

    def _fold(self, reservations: Reservations) -> None:
        try:
            name = self._layout.fold(self._commit, reservations.lines)
            self._storage.create(name, Fold(reservations=reservations).encode())
        except AlreadyExistsError:
            return  # the same lines give the same fold
