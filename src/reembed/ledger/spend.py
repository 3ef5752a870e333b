"""The spend log: gap-free, write-once lines that every runner reads before it appends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reembed.core.machine.book import Book, Quotas
from reembed.core.machine.records import Need, SpendLine
from reembed.errors import AlreadyExistsError, ObjectNotFoundError
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage


class SpendLog:
    """One commit's log; safe among threads, processes and machines.

    A line is written under the next free number by create-if-absent. Who loses that race reads
    what the winner wrote and decides again, so no two runners can spend the same room.
    """

    def __init__(self, storage: Storage, layout: Layout, commit: int) -> None:
        self._storage, self._layout, self._commit = storage, layout, commit
        self._book = Book()
        self._lock = threading.RLock()

    def read(self) -> Book:
        """The log's state, read to its tail."""
        with self._lock:
            new: list[SpendLine] = []
            while True:
                name = self._layout.spend(self._commit, self._book.lines + len(new) + 1)
                try:
                    data = self._storage.read(name)
                except ObjectNotFoundError:
                    self._book = self._book.add(*new) if new else self._book
                    return self._book
                new.append(SpendLine.decode(data, name))

    def reserve(
        self, attempt: str, epoch: int, need: Need, quotas: Quotas, now: Callable[[], float]
    ) -> bool:
        """Take room for an attempt; False when it does not fit any more.

        An attempt that holds a reservation already, from an earlier epoch, keeps that one line's
        money; a line of a *later* epoch, even one that was given back since, means that this
        holder has been overtaken.
        """
        with self._lock:
            while True:
                book = self.read()
                if book.epochs.get(attempt, 0) > epoch:
                    return False
                if book.epoch_of(attempt) == epoch:
                    return True
                if book.room(attempt, need, quotas, now()) != "fits":
                    return False
                held = attempt in book.live
                total = book.usd_nano + (0 if held else need.usd_nano)
                line = SpendLine(
                    kind="reserve", attempt=attempt, epoch=epoch, need=need, total_usd_nano=total
                )
                if self._append(book, line):
                    return True

    def release(self, attempt: str, epoch: int, kind: str, held_until: float) -> None:
        """Give back: `void` all of it, `end` all but the dollars and the result's bytes."""
        with self._lock:
            while True:
                book = self.read()
                if attempt not in book.live or book.epoch_of(attempt) > epoch:
                    return
                back = book.live[attempt][1].usd_nano if kind == "void" else 0
                line = SpendLine(
                    kind="void" if kind == "void" else "end",
                    attempt=attempt,
                    epoch=epoch,
                    held_until=held_until,
                    total_usd_nano=book.usd_nano - back,
                )
                if self._append(book, line):
                    return

    def _append(self, book: Book, line: SpendLine) -> bool:
        name = self._layout.spend(self._commit, book.lines + 1)
        try:
            self._storage.create(name, line.encode())
        except AlreadyExistsError:
            return False
        self._book = self._book.add(line)
        return True
